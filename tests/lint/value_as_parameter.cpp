#include <curfew/core.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using curfew::context;
using namespace std::chrono_literals;

void load(const context& ctx, int id);
inline constexpr curfew::key<int> depth{"depth"};
inline constexpr curfew::key<std::string> trace_id{"trace id"};
namespace {
constexpr curfew::key<int> page_size{"page size"};
constexpr curfew::key<int> tries{"tries"};
constexpr curfew::key<int> tenant{"tenant"};
constexpr curfew::key<int> user{"user"};
constexpr curfew::key<int> shared{"shared"};
constexpr curfew::key<int> optional{"optional"};
constexpr curfew::key<int> waived_key{"waived"};
}  // namespace

// ---- what it finds

int in_one_function(const context& ctx) {
  auto inner = curfew::with_value(ctx, depth, 3);
  load(inner, 1);
  return *inner.value(depth);
  // CHECK: the value of 'depth' was put there by this function itself
}

int in_one_expression(const context& ctx) {
  return *curfew::with_value(ctx, depth, 3).value(depth);
  // CHECK: the value of 'depth' was put there by this function itself
}

std::vector<int> first_page(const context& ctx) {
  const int* size = ctx.value(page_size);
  return std::vector<int>(static_cast<std::size_t>(size != nullptr ? *size : 0));
}
std::vector<int> ten(const context& ctx) {
  const auto sized = curfew::with_value(ctx, page_size, 10);
  // CHECK: 'page_size' is read by 'first_page' alone, which is called here
  return first_page(sized);
}

int try_often(const context& ctx) { return *ctx.value(tries); }
int three_times(const context& ctx) {
  return try_often(curfew::with_value(ctx, tries, 3));
  // CHECK: 'tries' is read by 'try_often' alone
}

// ---- where it is silent

std::vector<int> first_page_of(const context& ctx, std::size_t size) {
  return std::vector<int>(ctx.err() ? 0 : size);
}

void deeper(const context& ctx) {  // reads what is around it, and gives its own
  const int* around = ctx.value(depth);
  const auto inner = curfew::with_value(ctx, depth, around != nullptr ? *around + 1 : 0);
  load(inner, 1);
}

std::string log_line(const context& ctx) {  // of a key that everybody can name
  const std::string* id = ctx.value(trace_id);
  return id != nullptr ? *id : "-";
}
std::string traced(const context& ctx) { return log_line(curfew::with_value(ctx, trace_id, "7f3a")); }

int price(const context& ctx) { return *ctx.value(tenant); }
int order(const context& ctx) { return price(ctx); }  // a layer that does not know of it
int of_tenant(const context& ctx) { return order(curfew::with_value(ctx, tenant, 1)); }

int name_of(const context& ctx) { return *ctx.value(user); }
int mail_of(const context& ctx) { return *ctx.value(user); }
int of_user(const context& ctx) {
  const auto with_user = curfew::with_value(ctx, user, 1);
  return name_of(with_user) + mail_of(with_user);
}

int read_here(const context& ctx) { return *ctx.value(shared); }
int handed_on_twice(const context& ctx) {
  const auto with_shared = curfew::with_value(ctx, shared, 1);
  load(with_shared, 1);
  return read_here(with_shared);
}

int of_another_key(const context& ctx) {
  const auto inner = curfew::with_value(ctx, depth, 1);
  load(inner, 1);
  return static_cast<int>(inner.value(trace_id)->size());
}

int perhaps(const context& ctx) { return ctx.value(optional) != nullptr ? 1 : 0; }
int sometimes(const context& ctx, bool often) {
  return often ? perhaps(curfew::with_value(ctx, optional, 1))
               : perhaps(curfew::with_value(ctx, optional, 2));
}

void detached_clean_up(const context& ctx) {
  const auto inner = curfew::with_value(ctx, depth, 1);
  std::thread([ctx = curfew::without_cancel(inner)] { load(ctx, *ctx.value(depth)); }).detach();
}

void rearmed(context ctx) {
  for (int i = 0; i < 3; ++i) {
    ctx = curfew::with_value(ctx, depth, i);
    load(ctx, *ctx.value(depth));
  }
}

int called_at_once(const context& ctx) {
  return [&](const context& of) { return *of.value(depth); }(curfew::with_value(ctx, depth, 1));
}

template <class T>
T in_a_template(const context& ctx, const curfew::key<T>& key, T value) {
  auto inner = curfew::with_value(ctx, key, value);
  return *inner.value(key);
}
template int in_a_template<int>(const context&, const curfew::key<int>&, int);

#define READ_OWN(ctx) *curfew::with_value(ctx, depth, 1).value(depth)
int from_a_macro(const context& ctx) { return READ_OWN(ctx); }

class operation {
 public:
  explicit operation(const context& ctx) : ctx_(curfew::with_value(ctx, depth, 1)) {}
  int run() { return *ctx_.value(depth); }

 private:
  context ctx_;
};

int waived(const context& ctx) {
  const auto inner = curfew::with_value(ctx, waived_key, 3);
  load(inner, 1);
  return *inner.value(waived_key);  // NOLINT(curfew-value-as-parameter): shows how a key is used
}
