#include <curfew/core.hpp>
#include <curfew/sync/sleep.hpp>
#include <optional>
#include <thread>
#include <utility>

using curfew::context;
using namespace std::chrono_literals;

void load(const context& ctx, int id);
void consume(context ctx);
template <class Context>
void generic(const Context& ctx);
struct request {
  const context& ctx() const;
};
struct job {
  explicit job(context ctx);
};

// ---- what it finds

void handed_on(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  load(ctx, 1);
  // CHECK: 'ctx' is handed on, and not 'scope', which nothing uses
  // FIX: load(scope, 1);
}

void every_use_is_replaced(const context& ctx) {
  const auto scope = curfew::with_deadline(ctx, ctx.now() + 1s);
  load(ctx, 1);
  // CHECK: 'ctx' is handed on
  consume(ctx);
  // FIX: consume(scope);
  generic(ctx);
  // FIX: generic(scope.ctx());
  const job work(ctx);
  // FIX: const job work(scope);
}

void a_member_of_the_request(const request& from) {
  auto scope = curfew::with_timeout(from.ctx(), 3s);
  load(from.ctx(), 1);
  // CHECK: 'from.ctx()' is handed on, and not 'scope'
  // FIX: load(scope, 1);
}

void canceled_and_no_more(const context& ctx) {
  auto scope = curfew::with_cancel(ctx);
  load(ctx, 1);
  // CHECK: 'ctx' is handed on
  scope.cancel();
}

void under_another_scope(const context& ctx) {
  auto outer = curfew::with_cancel(ctx);
  auto inner = curfew::with_timeout(outer, 1s);
  load(outer, 1);
  // CHECK: 'outer' is handed on, and not 'inner'
  // FIX: load(inner, 1);
}

void in_a_lambda(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  auto later = [&] {
    load(ctx, 2);
    // CHECK: 'ctx' is handed on
  };
  later();
}

void nothing_at_all(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  // CHECK: nothing runs under 'scope'
}

// ---- where it is silent

void right(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  load(scope, 1);
}

void both_are_meant(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  load(scope, 1);
  load(ctx, 2);  // the report, which may take longer
}

void before_the_scope(const context& ctx) {
  load(ctx, 1);
  auto scope = curfew::with_timeout(ctx, 3s);
  load(scope, 2);
}

void behind_its_block(const context& ctx) {
  {
    auto scope = curfew::with_timeout(ctx, 3s);
    load(scope.ctx(), 1);
  }
  load(ctx, 2);
}

int what_remains(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  load(ctx, 1);
  return scope.remaining() ? 1 : 0;
}

curfew::cancel_scope returned(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  return scope;
}

void rearmed(const context& ctx) {
  std::optional<curfew::cancel_scope> scope;
  for (int i = 0; i < 3; ++i) {
    scope.emplace(curfew::with_timeout(ctx, 1s));
    load(scope->ctx(), i);
  }
}

void moved_into_a_thread(const context& ctx) {
  auto scope = curfew::with_cancel(ctx);
  std::jthread worker([scope = std::move(scope)] { load(scope, 1); });
  load(ctx, 2);
}

void called_at_once(const context& ctx) {
  auto scope = curfew::with_timeout(ctx, 3s);
  [&] { load(scope, 1); }();
}

void observed(const context& ctx) {
  auto scope = curfew::with_cancel(ctx);
  curfew::on_done stop(scope, [] {});
  load(ctx, 1);
}

void said_to_be_so(const context& ctx) {
  [[maybe_unused]] auto scope = curfew::with_cancel(ctx);
  load(ctx, 1);
}

void waived(const context& ctx) {
  auto scope = curfew::with_cancel(ctx);
  load(ctx, 1);  // NOLINT(curfew-scope-not-used): the audit goes on
}

#define GENERATED(ctx)                          \
  auto scope = curfew::with_timeout((ctx), 1s); \
  load((ctx), 1)

void from_a_macro(const context& ctx) { GENERATED(ctx); }

template <class T>
void in_a_template(const context& ctx, T value) {
  auto scope = curfew::with_timeout(ctx, 3s);
  generic(scope.ctx());
  load(ctx, value);
}
template void in_a_template<int>(const context&, int);
