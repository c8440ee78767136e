#pragma once

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/associator.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/completion.hpp>
#include <exception>
#include <expected>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew {

/// A completion token made by `with(ctx, token)`.
template <class Token>
class with_token {
 public:
  with_token(context ctx, Token token) noexcept : ctx_(std::move(ctx)), token_(std::move(token)) {}

  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }
  [[nodiscard]] const Token& token() const noexcept { return token_; }

 private:
  context ctx_;
  Token token_;
};

/// A completion token made by `with(ctx)`.
class with_result_token {
 public:
  explicit with_result_token(context ctx) noexcept : ctx_(std::move(ctx)) {}

  [[nodiscard]] const context& ctx() const noexcept { return ctx_; }

 private:
  context ctx_;
};

/// Makes any Boost.Asio operation obey a context, and `co_await` its result:
///
///     auto read = co_await socket.async_read_some(buffer, curfew::with(ctx));   // result<std::size_t>
///     if (!read) co_return read.error();
///     auto page = co_await asio::co_spawn(executor, fetch, curfew::with(ctx));  // what fetch returns, as a result
///
/// For operations that report an error_code or an exception. A coroutine that returns a result<T> gives that, not
/// a result in a result.
///
/// Completes when:  the operation completes. When `ctx` ends, in any thread, the operation is canceled. If
///                  `ctx` has ended before, the operation is not started.
/// Errors:          the operation's; where the end of ctx canceled it: errc::canceled or deadline_exceeded,
///                  with the cause. An exception that is not due to the end of ctx is rethrown.
/// Cancellation:    an operation that completes while ctx ends delivers its result: nothing it has done is
///                  lost. What a canceled one leaves behind is said by its own documentation. One that does
///                  not support Asio's per-operation cancellation (in Boost 1.81: resolvers) completes when
///                  it would have anyway.
/// Lifetime:        buffers and I/O objects must live until it completes, as without `with`.
/// Thread safety:   ctx may end in any thread. The executor of the coroutine or handler must not run two
///                  things at once: one thread, or a strand.
[[nodiscard]] inline with_result_token with(context ctx) noexcept {
  return with_result_token(std::move(ctx));
}

/// The same for any completion token, which gets the operation's own arguments:
///
///     auto handler = [](boost::system::error_code ec, std::size_t n) { report(ec, n); };
///     socket.async_read_some(buffer, curfew::with(ctx, handler));
///
/// An error that is due to the end of `ctx` has the code of `curfew::errc`. How it arrives depends on the first
/// argument of the operation's handler:
///
/// | first argument | the end arrives as | if ctx has ended before |
/// |---|---|---|
/// | error_code | that code | is not started |
/// | std::exception_ptr | a boost::system::system_error with that code, as Asio throws them | is not started |
/// | anything else, or none | what the operation reports when Asio cancels it | is started, and canceled at once |
///
/// The arguments beside an error are made by default; a socket is closed.
template <class Token>
[[nodiscard]] with_token<std::decay_t<Token>> with(context ctx, Token&& token) {
  return {std::move(ctx), std::forward<Token>(token)};
}

namespace detail {

/// What one operation and the end of its context share. All but the callback runs on the executor.
template <class Executor>
struct cancelable_op {
  struct request_cancel {
    std::weak_ptr<cancelable_op> op;

    void operator()() const noexcept {
      if (auto self = op.lock()) {
        // Never inline: the thread that ends the context is not the executor's, or is inside other code.
        boost::asio::post(self->executor, [self] {
          if (!self->completed) self->signal.emit(boost::asio::cancellation_type::all);
        });
      }
    }
  };

  cancelable_op(context c, Executor ex) : ctx(std::move(c)), executor(std::move(ex)) {}

  context ctx;
  Executor executor;
  boost::asio::cancellation_signal signal;
  std::optional<on_done<request_cancel>> ending;
  bool completed = false;
};

/// How the end of a context stands in the first argument of a handler, where that can carry an error.
template <class First>
struct end_as;  // of others: they cannot

template <>
struct end_as<boost::system::error_code> {
  static boost::system::error_code make(std::error_code ended) noexcept { return ended; }
  /// The code of the error that this is; none if it is none.
  static std::error_code code_of(const boost::system::error_code& ec) noexcept { return ec; }
};

template <>
struct end_as<std::exception_ptr> {
  static std::exception_ptr make(std::error_code ended);
  static std::error_code code_of(const std::exception_ptr& thrown) noexcept;
};

template <class First>
concept carries_end = requires { sizeof(end_as<First>); };

/// Whether Asio has canceled an operation, going by its first argument.
[[nodiscard]] bool is_aborted(std::error_code code) noexcept;

/// Takes the place of the user's handler.
template <class Handler, class Executor>
class ending_handler {
 public:
  using cancellation_slot_type = boost::asio::cancellation_slot;

  ending_handler(std::shared_ptr<cancelable_op<Executor>> op, Handler handler)
      : op_(std::move(op)),
        handler_(std::move(handler)) {}

  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return op_->signal.slot(); }
  [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

  template <class First, class... Rest>
  void operator()(First first, Rest... rest) {
    finish();
    if constexpr (carries_end<First>) {
      if (const std::error_code ended = op_->ctx.err(); ended && is_aborted(end_as<First>::code_of(first)))
        first = end_as<First>::make(ended);
    }
    op_.reset();
    std::move(handler_)(std::move(first), std::move(rest)...);
  }
  void operator()() {
    finish();
    op_.reset();
    std::move(handler_)();
  }

 private:
  void finish() noexcept {
    op_->completed = true;
    op_->ending.reset();
    if (auto outer = boost::asio::get_associated_cancellation_slot(handler_); outer.is_connected())
      outer.clear();
  }

  std::shared_ptr<cancelable_op<Executor>> op_;
  Handler handler_;
};

/// The argument beside an error: a default value; of a socket, a closed one.
template <class Arg, class Executor>
Arg blank(const Executor& executor) {
  if constexpr (std::is_default_constructible_v<Arg>) {
    return Arg();
  } else {
    return Arg(executor);
  }
}

/// What stands behind the first argument, as one value.
template <class... Args>
struct joined_arguments {
  using type = std::tuple<Args...>;
};
template <class Arg>
struct joined_arguments<Arg> {
  using type = Arg;
};
template <>
struct joined_arguments<> {
  using type = void;
};

/// As a result, which a result is already.
template <class Value>
struct as_result {
  using type = result<Value>;
};
template <class T>
struct as_result<result<T>> {
  using type = result<T>;
};

/// What can be said of an operation's signature.
template <class Signature>
struct operation {
  static constexpr bool reports_errors = false;
};
template <class First, class... Args>
  requires carries_end<std::remove_cvref_t<First>>
struct operation<void(First, Args...)> {
  static constexpr bool reports_errors = true;
  using first = std::remove_cvref_t<First>;
  using outcome = as_result<typename joined_arguments<std::decay_t<Args>...>::type>::type;
  /// The signature with the outcome in place of the arguments.
  using with_outcome = std::conditional_t<std::is_same_v<first, std::exception_ptr>,
                                          void(std::exception_ptr, outcome), void(outcome)>;

  /// Calls the handler of an operation that is not started.
  template <class Handler, class Executor>
  static void complete(Handler&& handler, std::error_code ended, [[maybe_unused]] const Executor& executor) {
    std::forward<Handler>(handler)(end_as<first>::make(ended), blank<std::decay_t<Args>>(executor)...);
  }
};

/// Starts an operation with an ending_handler.
template <class Initiation, class Signature>
class ending_initiation {
 public:
  ending_initiation(context ctx, Initiation initiation)
      : ctx_(std::move(ctx)),
        initiation_(std::move(initiation)) {}

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) {
    auto executor = boost::asio::get_associated_executor(handler, own_executor());
    using executor_type = decltype(executor);
    if constexpr (operation<Signature>::reports_errors) {
      if (const std::error_code ended = ctx_.err()) {
        boost::asio::post(executor, [ended, executor, handler = std::forward<Handler>(handler)]() mutable {
          operation<Signature>::complete(std::move(handler), ended, executor);
        });
        return;
      }
    }
    auto op = std::make_shared<cancelable_op<executor_type>>(std::move(ctx_), std::move(executor));
    if (auto outer = boost::asio::get_associated_cancellation_slot(handler); outer.is_connected()) {
      outer.assign([op = std::weak_ptr(op)](boost::asio::cancellation_type type) {
        if (auto self = op.lock()) self->signal.emit(type);
      });
    }
    std::move(initiation_)(
        ending_handler<std::decay_t<Handler>, executor_type>(op, std::forward<Handler>(handler)),
        std::forward<Args>(args)...);
    // On the executor, because the operation may be completing there already.
    boost::asio::dispatch(op->executor, [op] {
      if (!op->completed)
        op->ending.emplace(op->ctx, typename cancelable_op<executor_type>::request_cancel{op});
    });
  }

 private:
  [[nodiscard]] auto own_executor() const noexcept {
    if constexpr (requires { initiation_.get_executor(); }) {
      return initiation_.get_executor();
    } else {
      return boost::asio::system_executor();
    }
  }

  context ctx_;
  Initiation initiation_;
};

/// Makes a result of the arguments of an operation.
template <class Handler, class Outcome>
class result_handler {
 public:
  result_handler(context ctx, Handler handler) : ctx_(std::move(ctx)), handler_(std::move(handler)) {}

  [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

  template <class... Args>
  void operator()(boost::system::error_code ec, Args... args) {
    std::move(handler_)(ec ? failed(ec) : succeeded(std::move(args)...));
  }
  template <class... Args>
  void operator()(std::exception_ptr thrown, Args... args) {
    if (!thrown) {
      std::move(handler_)(std::move(thrown), succeeded(std::move(args)...));
      return;
    }
    Outcome outcome = failed(end_as<std::exception_ptr>::code_of(thrown));
    if (is_end(outcome.error().code())) thrown = nullptr;
    std::move(handler_)(std::move(thrown), std::move(outcome));
  }

 private:
  [[nodiscard]] bool is_end(std::error_code code) const noexcept { return code && code == ctx_.err(); }

  [[nodiscard]] Outcome failed(std::error_code code) const {
    return error(code, {}, is_end(code) ? ctx_.cause() : cause());
  }
  template <class... Args>
  static Outcome succeeded(Args... args) {
    return Outcome(std::move(args)...);
  }
  template <class First, class Second, class... Args>
  static Outcome succeeded(First first, Second second, Args... args) {
    return Outcome(std::in_place, std::move(first), std::move(second), std::move(args)...);
  }

  context ctx_;
  Handler handler_;
};

/// Starts an operation with a result_handler.
template <class Initiation, class Signature>
class result_initiation {
 public:
  using outcome = typename operation<Signature>::outcome;

  result_initiation(context ctx, Initiation initiation)
      : ctx_(std::move(ctx)),
        initiation_(std::move(initiation)) {}

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) {
    ending_initiation<Initiation, Signature> start(ctx_, std::move(initiation_));
    start(result_handler<std::decay_t<Handler>, outcome>(std::move(ctx_), std::forward<Handler>(handler)),
          std::forward<Args>(args)...);
  }

 private:
  context ctx_;
  Initiation initiation_;
};

}  // namespace detail

}  // namespace curfew

namespace boost::asio {

template <class Token, class Signature>
class async_result<curfew::with_token<Token>, Signature> {
 public:
  template <class Initiation, class RawToken, class... Args>
  static auto initiate(Initiation&& initiation, RawToken&& token, Args&&... args) {
    Token inner = token.token();
    return async_initiate<Token, Signature>(
        curfew::detail::ending_initiation<std::decay_t<Initiation>, Signature>(
            token.ctx(), std::forward<Initiation>(initiation)),
        inner, std::forward<Args>(args)...);
  }
};

template <class Signature>
class async_result<curfew::with_result_token, Signature> {
 public:
  template <class Initiation, class RawToken, class... Args>
  static auto initiate(Initiation&& initiation, RawToken&& token, Args&&... args) {
    static_assert(
        curfew::detail::operation<Signature>::reports_errors,
        "curfew::with(ctx) needs an operation that reports an error; name a token: with(ctx, token)");
    curfew::default_token inner;
    return async_initiate<curfew::default_token, typename curfew::detail::operation<Signature>::with_outcome>(
        curfew::detail::result_initiation<std::decay_t<Initiation>, Signature>(
            token.ctx(), std::forward<Initiation>(initiation)),
        inner, std::forward<Args>(args)...);
  }
};

template <template <class, class> class Associator, class Handler, class Executor, class Default>
struct associator<Associator, curfew::detail::ending_handler<Handler, Executor>, Default>
    : Associator<Handler, Default> {
  static auto get(const curfew::detail::ending_handler<Handler, Executor>& h) noexcept {
    return Associator<Handler, Default>::get(h.inner());
  }
  static auto get(const curfew::detail::ending_handler<Handler, Executor>& h, const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.inner(), d);
  }
};

template <class Handler, class Executor, class Default>
struct associated_cancellation_slot<curfew::detail::ending_handler<Handler, Executor>, Default> {
  using type = cancellation_slot;
  static type get(const curfew::detail::ending_handler<Handler, Executor>& h,
                  const Default& = Default()) noexcept {
    return h.get_cancellation_slot();
  }
};

template <template <class, class> class Associator, class Handler, class Outcome, class Default>
struct associator<Associator, curfew::detail::result_handler<Handler, Outcome>, Default>
    : Associator<Handler, Default> {
  static auto get(const curfew::detail::result_handler<Handler, Outcome>& h) noexcept {
    return Associator<Handler, Default>::get(h.inner());
  }
  static auto get(const curfew::detail::result_handler<Handler, Outcome>& h, const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.inner(), d);
  }
};

}  // namespace boost::asio
