#include <coroutine>
#include <curfew/core.hpp>
#include <curfew/sync/channel.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using curfew::context;
using namespace std::chrono_literals;

void load(const context& ctx, int id);
struct request {
  const context& ctx() const;
};

// ---- what it finds

class mailbox {
 public:
  explicit mailbox(context ctx) : ctx_(std::move(ctx)) {}
  curfew::result<> put(std::string text) { return texts_.send(ctx_, std::move(text)); }

 private:
  context ctx_;
  // CHECK: 'mailbox' is shared by its callers, and all of them wait under the context it was made with
  curfew::channel<std::string> texts_{16};
};

class cache {
 public:
  explicit cache(const context& ctx) : ctx_(ctx) {}
  void warm(int id) { load(ctx_, id); }
  void get(const context& ctx, int id) { load(ctx, id); }

 private:
  context ctx_;
  // CHECK: 'cache' keeps the context it was made with, and its callers bring their own to 'get'
};

class store {
 public:
  void get(const context& ctx, int id) {
    last_ = ctx;
    // CHECK: 'last_' keeps the context of one call, 'ctx', and nothing lets it go
    load(ctx, id);
  }
  void answer(const request& from) {
    nearest_ = from.ctx();
    // CHECK: 'nearest_' keeps the context of one call, 'from'
    all_.push_back(from.ctx());
    // CHECK: 'all_' keeps the context of one call
    by_id_.emplace(1, from.ctx());
    // CHECK: 'by_id_' keeps the context of one call
  }

 private:
  context last_ = curfew::background();
  std::optional<context> nearest_;
  std::vector<context> all_;
  std::map<int, context> by_id_;
};

std::optional<context> current;
void remember(const context& ctx) {
  current = ctx;
  // CHECK: 'current' keeps the context of one call, 'ctx'
}

thread_local std::vector<context> stack;
void push(const context& ctx) {
  stack.push_back(ctx);
  // CHECK: 'stack' keeps the context of one call
}

void first_call(const context& ctx) {
  static const context kept = ctx;
  // CHECK: 'kept' is made once, and keeps the context of the first call, 'ctx'
  static mailbox box(ctx);
  // CHECK: 'box' is made once
  load(kept, 1);
}

// ---- where it is silent

class mailbox_for_all {
 public:
  curfew::result<> put(const context& ctx, std::string text) { return texts_.send(ctx, std::move(text)); }

 private:
  curfew::channel<std::string> texts_{16};
};

class operation {  // made from a context, and used within the function
 public:
  operation(const context& ctx, int id) : ctx_(ctx), id_(id) {}
  void run(int times) {
    for (int i = 0; i < times; ++i) load(ctx_, id_);
  }

 private:
  context ctx_;
  int id_;
};
void within_a_function(const context& ctx) {
  operation made(ctx, 1);
  made.run(2);
}

class reader {  // of one answer, locked against its own callback
 public:
  explicit reader(context ctx) : ctx_(std::move(ctx)) {}
  void read(int id) {
    const std::lock_guard lock(mutex_);
    load(ctx_, id);
  }

 private:
  context ctx_;
  std::mutex mutex_;
};
void reads(const context& ctx) {
  reader from(ctx);
  from.read(1);
}

class awaited {
 public:
  explicit awaited(context ctx) : ctx_(std::move(ctx)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<>) { load(ctx_, 1); }
  void await_resume() {}
  void bind(const context& ctx) { load(ctx, 2); }

 private:
  context ctx_;
};

class session : public std::enable_shared_from_this<session> {  // of one connection
 public:
  explicit session(context ctx) : ctx_(std::move(ctx)) {}
  void write(const context& ctx) { load(ctx, 1); }

 private:
  context ctx_;
};

class service {  // ends, with all that it began, by its own scope
 public:
  explicit service(const context& ctx) : scope_(curfew::with_cancel(ctx)) {}
  void get(const context& ctx, int id) { load(ctx, id); }

 private:
  curfew::cancel_scope scope_;
};

class pool {  // the context of the process is not that of a request
 public:
  explicit pool(context process) : process_(std::move(process)) {}
  void get(const context& ctx, int id) { load(ctx, id); }

 private:
  context process_;
};

class callback {
 public:
  explicit callback(context ctx) : ctx_(std::move(ctx)) {}
  void operator()() const { load(ctx_, 1); }
  void with(const context& ctx) const { load(ctx, 1); }

 private:
  context ctx_;
};

class slots {  // lets go what it keeps
 public:
  void enter_one(const context& ctx, int id) { by_id_.emplace(id, ctx); }
  void note(const context& ctx, int id) {
    by_id_.insert_or_assign(id, ctx);
    newest_ = ctx;
  }
  void leave(int id) {
    by_id_.erase(id);
    newest_.reset();
  }

 private:
  std::map<int, context> by_id_;
  std::optional<context> newest_;
};

class seen_in_part {  // what finish() lets go is in another file
 public:
  void note(const context& ctx) { last_ = ctx; }
  void finish();

 private:
  context last_ = curfew::background();
};

class call {
 public:
  call& under(const context& ctx) {
    ctx_ = ctx;
    return *this;
  }
  void start(const context& ctx) { ctx_ = ctx; }

 private:
  context ctx_ = curfew::background();
};

struct job {  // the parameters of a task
  context ctx;
  int id;
};
job made_from(const context& ctx) { return {ctx, 1}; }

void rearmed(const context& ctx) {
  std::optional<context> nearest;
  for (int i = 0; i < 3; ++i) {
    nearest = ctx;
    load(*nearest, i);
  }
}

void detached_clean_up(const context& ctx) {
  std::thread([ctx = curfew::without_cancel(ctx)] { load(ctx, 1); }).detach();
}

class detached {
 public:
  void note(const context& ctx) { values_ = curfew::without_cancel(ctx); }

 private:
  context values_ = curfew::background();
};

void called_at_once(const context& ctx) {
  context inner = curfew::background();
  [&] { inner = ctx; }();
  load(inner, 1);
}

const context root = curfew::background();
context test_root = curfew::background();
int main() {
  auto scope = curfew::with_cancel(curfew::background());
  test_root = scope;
}

#define DEFINE_STORE(name)                                  \
  class name {                                              \
   public:                                                  \
    explicit name(const context& ctx) : ctx_(ctx) {}        \
    void get(const context& ctx, int id) { load(ctx, id); } \
                                                            \
   private:                                                 \
    context ctx_;                                           \
  }
DEFINE_STORE(generated);

template <class T>
class in_a_template {
 public:
  explicit in_a_template(T& on, context ctx) : on_(on), ctx_(std::move(ctx)) {}
  void get(const context& ctx) { on_(ctx); }

 private:
  T& on_;
  context ctx_;
};

std::optional<context> audited;
void audit(const context& ctx) {
  audited = ctx;  // NOLINT(curfew-stored-context): the test asks for it
}
