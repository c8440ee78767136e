#include <array>
#include <functional>

#include "coroutines.hpp"

using curfew::context;

struct options {
  std::string name;
  std::string path;
};
struct with_defaults {
  std::string name{};
  int number = 1;
};
struct of_an_array {
  std::array<std::string, 2> names;
};
struct plain {
  std::string_view name;
  int number;
};
class made {
 public:
  made(std::string name, std::string path);
  std::string name, path;
};

template <class F>
asio::awaitable<int> run(F f) {
  co_return f();
}
asio::awaitable<int> open(context ctx, options with);
asio::awaitable<int> open_it(with_defaults with);
asio::awaitable<int> open_each(of_an_array names);
asio::awaitable<int> open_usual(options with = {"a", "b"});
asio::awaitable<int> open_plain(plain with);
asio::awaitable<int> open_made(made with);
asio::awaitable<int> by_name(std::string name);
asio::awaitable<std::string> name_of(int id);
asio::awaitable<int> one();
int use(const std::function<int()>& f, int number);
int length(std::string text);

// ---- what it finds

asio::awaitable<int> a_lambda(std::string q) {
  co_return co_await run([q] { return length(q); });
  // CHECK: g++ 12 destroys what this lambda keeps twice, since the expression awaits
  // FIX: auto work = [q] { return length(q); };
  // FIX: co_return co_await run(std::move(work));
}

asio::awaitable<int> a_lambda_that_moves(std::string q) {
  const int work = 1;
  auto got = co_await run([q = std::move(q)] { return length(q); });
  // CHECK: what this lambda keeps
  // FIX: auto work2 = [q = std::move(q)] { return length(q); };
  // FIX: auto got = co_await run(std::move(work2));
  co_return got + work;
}

asio::awaitable<int> two_lambdas(std::string q) {
  co_await run([q] { return length(q); });
  // CHECK: what this lambda keeps
  // FIX: auto work = [q] { return length(q); };
  // FIX: co_await run(std::move(work));
  co_return co_await run([q] { return length(q) + 1; });
  // CHECK: what this lambda keeps
  // FIX: auto work2 = [q] { return length(q) + 1; };
  // FIX: co_return co_await run(std::move(work2));
}

asio::awaitable<int> a_lambda_that_is_called(std::string q) {
  co_return co_await [q]() -> asio::awaitable<int> { co_return length(q); }();
  // CHECK: what this lambda keeps
  // FIX: auto work = [q]() -> asio::awaitable<int> { co_return length(q); };
  // FIX: co_return co_await work();
}

asio::awaitable<int> a_lambda_in_a_condition(std::string q) {
  if (const int got = co_await run([q] { return length(q); }); got > 0) {
    // CHECK: what this lambda keeps
    // FIX: auto work = [q] { return length(q); };
    // FIX: if (const int got = co_await run(std::move(work)); got > 0) {
    co_return got;
  }
  while (co_await run([q] { return length(q); }) > 0) {
    // CHECK: what this lambda keeps
  }
  co_return 0;
}

asio::awaitable<int> a_lambda_beside(std::string q) {
  co_return use([q] { return length(q); }, co_await one());
  // CHECK: what this lambda keeps
  // FIX: auto work = [q] { return length(q); };
  // FIX: co_return use(std::move(work), co_await one());
}

asio::awaitable<int> a_lambda_that_awaits_what_it_keeps() {
  auto later = [name = co_await name_of(1)] { return length(name); };
  // CHECK: what this lambda keeps
  co_return later();
}

asio::awaitable<int> a_lambda_that_knows_the_line(int id) {
  if (std::string name = co_await name_of(id); co_await run([name] { return length(name); }) > 0) co_return 1;
  // CHECK: what this lambda keeps
  co_return 0;
}

asio::awaitable<int> an_aggregate(context ctx, std::string a) {
  co_await open(ctx, options{a, "b"});
  // CHECK: g++ 12 destroys the members of this aggregate twice
  // FIX: auto options2 = options{a, "b"};
  // FIX: co_await open(ctx, std::move(options2));
  co_await open(ctx, {a, "b"});
  // CHECK: the members of this aggregate
  co_await open(ctx, {.name = a, .path = "b"});
  // CHECK: the members of this aggregate
  co_await open_it({});
  // CHECK: the members of this aggregate
  co_await open_each({{a, a}});
  // CHECK: the members of this aggregate
  co_await open_usual();
  // CHECK: the members of this aggregate
  co_return 0;
}

asio::awaitable<int> an_aggregate_in_parentheses(context ctx, std::string a) {
  co_return co_await open(ctx, options(a, "b"));
  // CHECK: the members of this aggregate
}

asio::awaitable<int> a_variable(std::string a) {
  options with{a, co_await name_of(1)};
  // CHECK: the members of this aggregate
  co_return length(with.path);
}

asio::awaitable<int> a_choice(std::string a, bool yes) {
  const std::string name = yes ? co_await name_of(1) : co_await name_of(2);
  // CHECK: g++ 12 destroys what this '?:' gives twice
  co_await by_name(yes ? a : std::string());
  // CHECK: what this '?:' gives
  co_return length(name);
}

// ---- where it is silent

asio::awaitable<int> on_a_line_of_its_own(context ctx, std::string q) {
  auto work = [q] { return length(q); };
  options with{.name = q, .path = "b"};
  co_await open(ctx, std::move(with));
  co_return co_await run(std::move(work));
}

asio::awaitable<int> nothing_to_destroy(std::string q) {
  const int size = length(q);
  co_await run([size] { return size; });
  co_await run([&q] { return length(q); });
  co_await run([] { return 1; });
  co_await open_plain({"a", 1});
  co_return 0;
}

asio::awaitable<int> constructors(std::string q) {
  co_await open_made({q, q});
  co_await open_made(made{q, q});
  co_await by_name(std::string{q});
  co_await by_name({});
  co_return 0;
}

asio::awaitable<int> nothing_is_awaited(asio::io_context& io, context ctx, std::string q, bool yes) {
  asio::co_spawn(io, [q]() -> asio::awaitable<void> { co_await by_name(q); }, asio::detached);
  use([q] { return length(q); }, 1);
  const std::string name = yes ? q : std::string();
  options with{q, name};
  auto later = open(ctx, {q, name});
  co_return co_await std::move(later);
}

asio::awaitable<int> choices(std::string q, bool yes) {
  const int number = yes ? co_await by_name(q) : co_await by_name("b");
  const std::string other;
  co_await by_name(yes ? q : other);
  co_return number;
}

asio::awaitable<options> returned(std::string q) { co_return options{q, q}; }

int no_coroutine(std::string q, bool yes) {
  return use([q] { return length(q); }, length(yes ? q : std::string()));
}

template <class T>
asio::awaitable<int> in_a_template(T value) {
  co_return co_await run([value] { return 1; });
}
template asio::awaitable<int> in_a_template<std::string>(std::string);

asio::awaitable<int> waived(std::string q) {
  co_return co_await run(
      [q] { return length(q); });  // NOLINT(curfew-gcc12-coroutine): clang builds this file
}

#define RUN(q) co_await run([q] { return length(q); })
asio::awaitable<int> from_a_macro(std::string q) { co_return RUN(q); }
