#include <functional>

#include "coroutines.hpp"

using curfew::context;

void load(const context& ctx, int id);
void keep(context ctx);
struct store;

// ---- what it finds

void by_value(context ctx) {
  // CHECK: 'ctx' is copied for each call, and not kept: take it as 'const context&'
  // FIX: void by_value(const context& ctx) {
  load(ctx, 1);
}

void declared_before(const curfew::context ctx, int id);
// FIX: void declared_before(const curfew::context& ctx, int id);
void declared_before(const curfew::context ctx, int id) {
  // CHECK: 'ctx' is copied for each call
  // FIX: void declared_before(const curfew::context& ctx, int id) {
  load(ctx, id);
}

void copied_by_a_lambda(context ctx, std::function<void()>& later) {
  // CHECK: 'ctx' is copied for each call
  // FIX: void copied_by_a_lambda(const context& ctx, std::function<void()>& later) {
  later = [ctx] { load(ctx, 1); };
}

asio::awaitable<void> a_coroutine(const context& ctx);
// FIX: asio::awaitable<void> a_coroutine(context ctx);
asio::awaitable<void> a_coroutine(const context& ctx) {
  // CHECK: the coroutine keeps a reference to a context of its caller
  // FIX: asio::awaitable<void> a_coroutine(context ctx) {
  co_await curfew::async_sleep_for(ctx, 1s);
}

void a_coroutine_that_is_a_lambda(asio::io_context& io) {
  asio::co_spawn(
      io,
      [](const context& ctx) -> asio::awaitable<void> {
        // CHECK: the coroutine keeps a reference
        // FIX: [](context ctx) -> asio::awaitable<void> {
        co_await curfew::async_sleep_for(ctx, 1s);
      }(curfew::background()),
      asio::detached);
}

void another_name(const context& context, int id) {
  // CHECK: a context is named 'ctx' everywhere: 'context' says no more
  // FIX: void another_name(const context& ctx, int id) {
  load(context, id);
  // FIX: load(ctx, id);
  auto later = [&context] { load(context, 2); };
  // FIX: auto later = [&ctx] { load(ctx, 2); };
  later();
}

void a_letter(const context& c) {
  // CHECK: 'c' says no more
  // FIX: void a_letter(const context& ctx) {
  if (c.err()) return;
  // FIX: if (ctx.err()) return;
}

void behind_a_number(int id, const context& ctx) {
  // CHECK: 'ctx' stands behind 'id': a context is the first of the parameters
  load(ctx, id);
}

void behind_a_text(const store& /*from*/, const std::string& name, const context& ctx) {
  // CHECK: 'ctx' stands behind 'name'
  load(ctx, static_cast<int>(name.size()));
}

template <class T>
void in_a_template(T value, std::string_view name, context ctx) {
  // CHECK: 'ctx' stands behind 'name'
  keep(std::move(ctx));
  static_cast<void>(value);
  static_cast<void>(name);
}
template void in_a_template<int>(int, std::string_view, context);

// ---- where it is silent

void right(const context& ctx, int id) { load(ctx, id); }

void kept(context ctx) { keep(std::move(ctx)); }

context given_back(context ctx) { return ctx; }

void assigned(context ctx, int depth) {
  for (int i = 0; i < depth; ++i) {
    ctx = curfew::without_cancel(ctx);
    load(ctx, i);
  }
}

void moved_by_a_lambda(context ctx, std::function<void()>& later) {
  later = [ctx = std::move(ctx)] { load(ctx, 1); };
}

void called_at_once(const context& ctx) {
  [](context inner) { load(inner, 1); }(ctx);
}

template <class F>
void handed_on(context ctx, F f) {
  f(ctx);  // what f takes is not known
}
template void handed_on<void (*)(context)>(context, void (*)(context));

asio::awaitable<void> coroutine(context ctx) { co_await curfew::async_sleep_for(ctx, 1s); }

asio::awaitable<void> gives_a_coroutine(context ctx) { return coroutine(ctx); }

struct session {
  explicit session(std::string name, context ctx)
      : name(std::move(name)),
        ctx(std::move(ctx)) {}  // as its members stand
  virtual ~session() = default;
  virtual void answer(context ctx) { load(ctx, 1); }
  std::string name;
  context ctx;
};
struct https_session : session {
  using session::session;
  void answer(context c) override { load(c, 2); }  // the base says so
};

struct job {
  explicit job(context c) : ctx(std::move(c)) {}  // beside a member of that name
  context ctx;
};

asio::awaitable<void> unused(const context& /*ctx*/) {
  co_await curfew::async_sleep_for(curfew::background(), 1s);
}

void behind_what_it_works_on(asio::io_context& io, const context& ctx) {
  static_cast<void>(io);
  load(ctx, 1);
}

curfew::cancel_scope of_a_role(const context& parent) { return curfew::with_timeout(parent, 1s); }

curfew::cancel_scope of_several(const context& a, const context& b) { return curfew::merge(a, b); }

void beside_another(const context& c, int ctx) { load(c, ctx); }

void of_a_callback(void* /*data*/, int id, const context& ctx) { load(ctx, id); }
void takes_a_callback(void (*call)(void*, int, const context&)) { call(nullptr, 1, curfew::background()); }
void gives_a_callback() { takes_a_callback(of_a_callback); }

void by_default(int id, const context& ctx = curfew::background()) { load(ctx, id); }

#define DEFINE_LOADER(name) \
  void name(int id, context c) { load(c, id); }
DEFINE_LOADER(generated)

void waived(int id, const context& ctx) {  // NOLINT(curfew-context-parameter): the registry's signature
  load(ctx, id);
}
