#include <curfew/core.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using curfew::context;
using namespace std::chrono_literals;

int load(int id);
int load(const context& ctx, int id);
std::string text_of(const std::string& name);
std::string text_of_with_context(const context& ctx, const std::string& name);
int refresh();
curfew::result<int> refresh(const context& ctx);
void audit(int id, const context& ctx = curfew::background());
template <class T>
T convert(T from);
template <class T>
T convert(const context& ctx, T from);
struct request {
  const context& ctx() const;
};

struct database {
  int query(const std::string& text) const;
  int query(const context& ctx, const std::string& text) const;
  int rollback();
  int rollback(const context& ctx);
  int exec(int id);
  int execContext(context ctx, int id);
  static database of(const context& ctx);
};

// ---- what it finds

int an_overload(const context& ctx) {
  return load(1);
  // CHECK: 'load' does not end with 'ctx': there is 'load', which takes it
  // FIX: return load(ctx, 1);
}

std::string a_twin(const context& ctx) {
  return text_of("a");
  // CHECK: there is 'text_of_with_context', which takes it
  // FIX: return text_of_with_context(ctx, "a");
}

int a_member(const context& ctx, database& from) {
  return from.query("select 1") +
         // CHECK: there is 'query'
         // FIX: return from.query(ctx, "select 1") +
         from.exec(1);
  // CHECK: there is 'execContext'
  // FIX: from.execContext(ctx, 1);
}

int no_parameters(const context& ctx, database& of) {
  if (ctx.err()) return 0;
  return of.rollback();
  // CHECK: there is 'rollback'
  // FIX: return of.rollback(ctx);
}

int of_the_request(const request& from) {
  return load(1);
  // CHECK: does not end with 'from.ctx()'
  // FIX: return load(from.ctx(), 1);
}

int another_result(const context& ctx) {
  if (ctx.err()) return 0;
  return refresh();
  // CHECK: there is 'refresh', which takes it
}

void by_default(const context& ctx) {
  load(ctx, 1);
  audit(1);
  // CHECK: 'ctx' is left to its default: hand ctx on to 'audit'
}

int a_template(const context& ctx) {
  if (ctx.err()) return 0;
  return convert(1);
  // CHECK: there is 'convert'
}

int in_a_lambda(const context& ctx) {
  auto later = [ctx] { return load(ctx, 1) + load(2); };
  // CHECK: there is 'load'
  return later();
}

int where_all_is_well(const context& ctx) {
  if (auto loaded = refresh(ctx)) {
    return load(*loaded);
    // CHECK: there is 'load'
    // FIX: return load(ctx, *loaded);
  }
  return 0;
}

// ---- where it is silent

int right(const context& ctx, database& from) {
  audit(1, ctx);
  return load(ctx, 1) + from.query(ctx, "select 1");
}

int with_no_context(int id) { return load(id); }

int load(const context& ctx, int id) { return ctx.err() ? 0 : load(id); }  // is made from it

int behind_the_end(const context& ctx, database& in) {
  auto done = refresh(ctx);
  if (!done) return in.rollback();  // its context has ended
  if (ctx.err()) {
    in.rollback();
    return 0;
  }
  return *done;
}

int in_a_handler(const context& ctx, database& in) {
  try {
    return load(ctx, 1);
  } catch (...) {
    in.rollback();
    throw;
  }
}

int of_what_obeys(const context& ctx) {
  auto of = database::of(ctx);
  return of.query("select 1");
}

void detached_clean_up(const context& ctx) {
  load(ctx, 1);
  std::thread([] { load(1); }).detach();
}

int called_at_once(const context& ctx) {
  return [&] { return load(ctx, 1); }();
}

int rearmed(const context& ctx) {
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    auto scope = curfew::with_timeout(ctx, 1s);
    sum += load(scope, i);
  }
  return sum;
}

struct other {
  int fetch(int id);
  int fetch(const context& ctx, const std::string& name);  // of something else
  int peek(int id) const;
  int peek(const context& ctx, int id);  // not of an object that is const
};
int not_the_same(const context& ctx, other& from, const other& of) {
  load(ctx, 1);
  return from.fetch(1) + of.peek(1);
}

template <class T>
int in_a_template(const context& ctx, T value) {
  load(ctx, 1);
  return convert(value);  // what that is depends
}
template int in_a_template<int>(const context&, int);

#define LOAD_BESIDE() load(1)
int from_a_macro(const context& ctx) { return load(ctx, 1) + LOAD_BESIDE(); }

class operation {
 public:
  explicit operation(context ctx) : ctx_(std::move(ctx)) {}
  int run() { return load(ctx_, 1); }

 private:
  context ctx_;
};

namespace curfew {
int after(clock::duration d);
int after(const context& ctx, clock::duration d);
}  // namespace curfew
int a_case_of_a_select(const context& ctx) { return load(ctx, 1) + curfew::after(1s); }

int waived(const context& ctx) {
  return load(ctx, 1) + load(2);  // NOLINT(curfew-context-dropped): from memory
}
