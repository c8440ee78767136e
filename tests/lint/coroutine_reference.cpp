#include "coroutines.hpp"

using curfew::context;

asio::awaitable<void> by_reference(context ctx, const std::string& name) {
  co_await curfew::async_sleep_for(std::move(ctx), 1s);
  static_cast<void>(name);
}
asio::awaitable<void> by_value(context ctx, std::string name);
asio::awaitable<void> of_a_view(context ctx, std::span<const int> numbers);
asio::awaitable<void> declared(context ctx, const std::string& name);
std::string name_of(int id);
std::vector<int> numbers_of(int id);

// ---- what it finds

asio::awaitable<void> rvalue(std::string&& name) {
  // CHECK: the coroutine keeps a reference, 'name'
  co_await by_value(curfew::background(), "a");
  static_cast<void>(name.size());
}

void spawned(asio::io_context& io, const context& ctx) {
  asio::co_spawn(io, by_reference(ctx, name_of(1)), asio::detached);
  // CHECK: this temporary is gone before the coroutine that is spawned
  asio::co_spawn(io, declared(ctx, "a literal"), asio::detached);
  // CHECK: this temporary is gone before
  asio::co_spawn(io, of_a_view(ctx, numbers_of(1)), asio::detached);
  // CHECK: this temporary is gone before
}

asio::awaitable<void> returned(const context& ctx) {
  return by_reference(ctx, name_of(1));
  // CHECK: this temporary is gone before the coroutine that is returned
}

asio::awaitable<void> with_a_local(const context& ctx) {
  std::string name = name_of(1);
  return by_reference(ctx, name);
  // CHECK: 'name' is gone before the coroutine that is returned
}

asio::awaitable<void> kept(context ctx) {
  auto later = by_reference(ctx, name_of(1));
  // CHECK: this temporary is gone before the coroutine that is kept
  co_await std::move(later);
}

void captures(asio::io_context& io, const context& ctx) {
  asio::co_spawn(io, [ctx]() -> asio::awaitable<void> { co_await by_value(ctx, "a"); }(), asio::detached);
  // CHECK: the captures of this lambda are gone
}

asio::awaitable<void> captures_of_a_local(const context& ctx) {
  auto work = [ctx]() -> asio::awaitable<void> { co_await by_value(ctx, "a"); };
  return work();
  // CHECK: the captures of this lambda are gone before the coroutine that is returned
}

// ---- where it is silent

asio::awaitable<void> awaited_at_once(context ctx) {
  co_await by_reference(ctx, name_of(1));
  co_await of_a_view(ctx, numbers_of(1));
  co_await [ctx]() -> asio::awaitable<void> { co_await by_value(ctx, "a"); }();
}

asio::awaitable<void> transfer(std::string& from, std::string& to) {  // as Asio's proxy
  co_await by_value(curfew::background(), from);
  to = from;
}

asio::awaitable<void> of_a_literal(std::string_view name) {  // as its callers give it
  co_await by_value(curfew::background(), "a");
  static_cast<void>(name.size());
}

asio::awaitable<void> of_what_a_lambda_refers_to(context ctx) {
  std::string name = name_of(1);
  auto work = [&name](context of) { return by_reference(std::move(of), name); };
  co_await work(std::move(ctx));
}

asio::awaitable<void> read_before_it_waits(std::string&& name) {
  std::string own(name);
  co_await by_value(curfew::background(), std::move(own));
}

void the_lambda_itself(asio::io_context& io, const context& ctx) {
  asio::co_spawn(io, [ctx]() -> asio::awaitable<void> { co_await by_value(ctx, "a"); }, asio::detached);
}

void no_captures(asio::io_context& io) {
  asio::co_spawn(
      io, []() -> asio::awaitable<void> { co_await by_value(curfew::background(), "a"); }(), asio::detached);
}

void values(asio::io_context& io, const context& ctx) {
  asio::co_spawn(io, by_value(ctx, name_of(1)), asio::detached);
}

int main() {
  asio::io_context io;
  std::string name;
  asio::co_spawn(io, by_reference(curfew::background(), name),
                 asio::detached);  // it runs below, where name lives
}

template <class T>
asio::awaitable<void> in_a_template(T value) {
  co_await by_reference(curfew::background(), value);
}
template asio::awaitable<void> in_a_template<std::string>(std::string);

asio::awaitable<void> waived(context ctx) {
  return by_reference(std::move(ctx),
                      name_of(1));  // NOLINT(curfew-coroutine-reference): name_of gives what is static
}
