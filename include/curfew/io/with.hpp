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
#include <memory>
#include <optional>
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
///
/// Completes when:  the operation completes. When `ctx` ends it is canceled, whatever thread ends it; if
///                  `ctx` has ended before, the operation is not started.
/// Errors:          the operation's; where it was canceled because ctx ended: errc::canceled or
///                  deadline_exceeded, with the cause.
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

/// The same for any completion token, which gets the operation's own arguments; an error that is due to the
/// end of `ctx` arrives as the error_code of `curfew::errc`.
///
///     socket.async_read_some(buffer,
///                            curfew::with(ctx, [](boost::system::error_code ec, std::size_t n) { … }));
template <class Token>
[[nodiscard]] with_token<std::decay_t<Token>> with(context ctx, Token&& token) {
  return {std::move(ctx), std::forward<Token>(token)};
}

namespace detail {

/// What one operation and the end of its context share. Everything but the callback happens on the executor.
template <class Executor>
struct cancelable_op {
  struct request_cancel {
    std::weak_ptr<cancelable_op> op;

    void operator()() const noexcept {
      if (auto self = op.lock()) {
        // Never inline: the thread that ends the context is not the executor's, or is in the middle of
        // something.
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

inline void translate_end(const context& ctx, boost::system::error_code& ec) noexcept {
  if (ec == boost::asio::error::operation_aborted && ctx.err()) ec = ctx.err();
}
template <class... None>
void translate_end(const context& /*ctx*/, None&... /*no error_code*/) noexcept {}

/// The handler that the operation gets in place of the user's.
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
    translate_end(op_->ctx, first);
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

/// The argument beside an error: what the type has by default, or, for a socket, a closed one.
template <class Arg, class Executor>
Arg blank(const Executor& executor) {
  if constexpr (std::is_default_constructible_v<Arg>) {
    return Arg();
  } else {
    return Arg(executor);
  }
}

/// What can be said of an operation's signature.
template <class Signature>
struct operation {
  static constexpr bool has_error = false;
};
template <class... Args>
struct operation<void(boost::system::error_code, Args...)> {
  static constexpr bool has_error = true;
  using value = std::tuple<std::decay_t<Args>...>;

  template <class Handler, class Executor>
  static void complete(Handler&& handler, boost::system::error_code ec, const Executor& executor) {
    std::forward<Handler>(handler)(ec, blank<std::decay_t<Args>>(executor)...);
  }
};
template <class Arg>
struct operation<void(boost::system::error_code, Arg)> {
  static constexpr bool has_error = true;
  using value = std::decay_t<Arg>;

  template <class Handler, class Executor>
  static void complete(Handler&& handler, boost::system::error_code ec, const Executor& executor) {
    std::forward<Handler>(handler)(ec, blank<value>(executor));
  }
};
template <>
struct operation<void(boost::system::error_code)> {
  static constexpr bool has_error = true;
  using value = void;

  template <class Handler, class Executor>
  static void complete(Handler&& handler, boost::system::error_code ec, const Executor& /*executor*/) {
    std::forward<Handler>(handler)(ec);
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
    if constexpr (operation<Signature>::has_error) {
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
template <class Handler, class Value>
class result_handler {
 public:
  result_handler(context ctx, Handler handler) : ctx_(std::move(ctx)), handler_(std::move(handler)) {}

  [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

  template <class... Args>
  void operator()(boost::system::error_code ec, Args... args) {
    if (ec) {
      const bool by_context = ec == boost::system::error_code(ctx_.err());
      error why(ec, {}, by_context ? ctx_.cause() : cause());
      std::move(handler_)(result<Value>(std::unexpected(std::move(why))));
    } else if constexpr (std::is_void_v<Value>) {
      std::move(handler_)(result<Value>());
    } else {
      std::move(handler_)(result<Value>(std::in_place, std::move(args)...));
    }
  }

 private:
  context ctx_;
  Handler handler_;
};

/// Starts an operation with a result_handler.
template <class Initiation, class Signature>
class result_initiation {
 public:
  using value = typename operation<Signature>::value;

  result_initiation(context ctx, Initiation initiation)
      : ctx_(std::move(ctx)),
        initiation_(std::move(initiation)) {}

  template <class Handler, class... Args>
  void operator()(Handler&& handler, Args&&... args) {
    ending_initiation<Initiation, Signature> start(ctx_, std::move(initiation_));
    start(result_handler<std::decay_t<Handler>, value>(std::move(ctx_), std::forward<Handler>(handler)),
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
        curfew::detail::operation<Signature>::has_error,
        "curfew::with(ctx) needs an operation that reports an error_code; name a token: with(ctx, token)");
    using value = typename curfew::detail::operation<Signature>::value;
    curfew::default_token inner;
    return async_initiate<curfew::default_token, void(curfew::result<value>)>(
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

template <template <class, class> class Associator, class Handler, class Value, class Default>
struct associator<Associator, curfew::detail::result_handler<Handler, Value>, Default>
    : Associator<Handler, Default> {
  static auto get(const curfew::detail::result_handler<Handler, Value>& h) noexcept {
    return Associator<Handler, Default>::get(h.inner());
  }
  static auto get(const curfew::detail::result_handler<Handler, Value>& h, const Default& d) noexcept {
    return Associator<Handler, Default>::get(h.inner(), d);
  }
};

}  // namespace boost::asio
