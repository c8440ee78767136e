#include <curfew/core.hpp>
#include <thread>
#include <utility>

using curfew::context;
using namespace std::chrono_literals;

void load(const context& ctx, int id);
struct request {
  const context& ctx() const;
};
struct job {
  explicit job(context ctx);
};

// ---- what it finds

void a_parameter(const context& ctx) {
  load(curfew::background(), 1);
  // CHECK: 'background()' ends with no request, and 'ctx' is in reach
  // FIX: load(ctx, 1);
  load(ctx, 2);
}

void not_yet(const context& ctx) {
  load(curfew::todo(), 1);
  // CHECK: 'todo()' ends with no request, and 'ctx' is in reach
  // FIX: load(ctx, 1);
  load(ctx, 2);
}

void derived(const context& ctx) {
  auto scope = curfew::with_timeout(curfew::background(), 3s);
  // CHECK: 'background()' ends with no request
  // FIX: auto scope = curfew::with_timeout(ctx, 3s);
  load(scope, 1);
  load(ctx, 2);
}

void of_the_request(const request& from) {
  load(curfew::background(), 1);
  // CHECK: and 'from.ctx()' is in reach
  // FIX: load(from.ctx(), 1);
}

void a_capture(const context& ctx) {
  auto later = [ctx] {
    load(ctx, 1);
    load(curfew::background(), 2);
    // CHECK: and 'ctx' is in reach
  };
  later();
}

void what_a_lambda_could_capture(const context& ctx) {
  auto later = [&] { load(curfew::background(), 2); };
  // CHECK: and 'ctx' is in reach
  later();
  load(ctx, 1);
}

class session {
 public:
  explicit session(context ctx) : ctx_(std::move(ctx)) {}
  void answer() {
    load(curfew::background(), 1);
    // CHECK: and 'ctx_' is in reach
    // FIX: load(ctx_, 1);
  }

 private:
  context ctx_;
};

void a_variable(const context& ctx) {
  const context& root = curfew::background();
  // CHECK: and 'ctx' is in reach
  load(root, 1);
  load(ctx, 1);
}

void constructed(const context& ctx) {
  const job first(curfew::background());
  // CHECK: and 'ctx' is in reach
  const job second(ctx);
}

// ---- where it is silent

int main() {
  auto scope = curfew::with_cancel(curfew::background());
  load(scope, 1);
}

void with_no_context(int id) { load(curfew::background(), id); }

void detached_clean_up(const context& ctx) {
  std::thread([ctx = curfew::without_cancel(ctx)] { load(ctx, 1); }).detach();
}

bool compared(const context& ctx) { return ctx == curfew::background(); }

const context& chosen(const context& ctx, bool alone) { return alone ? curfew::background() : ctx; }

void a_place_for_the_nearest(const context& ctx, bool inner) {
  context nearest = curfew::background();
  if (inner) nearest = ctx;
  load(nearest, 1);
}

void by_default(const context& ctx, const context& root = curfew::background());
void default_argument(const context& ctx) { by_default(ctx); }

class worker {
 public:
  explicit worker(const context& ctx) : ctx_(ctx) {}
  ~worker() { load(curfew::background(), 0); }  // its clean-up
  void let_go() { ctx_ = curfew::background(); }
  context take() { return std::exchange(ctx_, curfew::background()); }

 private:
  context ctx_;
};

void thread_of_its_own(const context& ctx) {
  std::jthread beside([](std::stop_token token) {
    auto scope = curfew::with_stop_token(curfew::background(), std::move(token));
    load(scope, 1);
  });
  load(ctx, 1);
}

void waived(const context& ctx) {
  load(ctx, 1);
  load(curfew::background(), 1);  // NOLINT(curfew-background-in-request): the metrics are of the process
}

#define LOAD_BESIDE() load(curfew::background(), 1)
void from_a_macro(const context& ctx) {
  load(ctx, 1);
  LOAD_BESIDE();
}
