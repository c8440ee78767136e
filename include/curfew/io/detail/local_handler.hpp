#pragma once

#include <atomic>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/system_executor.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/io/detail/pending_op.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace curfew::detail {

/// What an operation completes.
/// Thread safety: any thread.
template <class T>
class completion {
 public:
  virtual ~completion() = default;

  /// Keeps the operation until this is completed, or goes with its context. To be called before either can happen.
  virtual void keep(std::shared_ptr<void> operation) noexcept = 0;
  /// Tells the one that waits, the first time; once its context is gone, nothing. \param here  In this call, which a
  /// thread of its context makes, where the handler's executor allows that; else it is posted.
  virtual void complete(T value, bool here) = 0;
};

/// That of an operation whose work is done on the execution context of its handler.
template <class T>
class local_completion : public completion<T> {
 public:
  /// Of the handler's executor. One that has none gets that of the system's executor.
  [[nodiscard]] virtual boost::asio::execution_context& where() const noexcept = 0;
};

/// Does `dispatch` on this executor call at once, as seen from here? Known of io_context's alone.
template <class Executor>
bool calls_at_once(const Executor& executor) noexcept {
  if constexpr (requires { executor.template target<boost::asio::io_context::executor_type>(); }) {
    const auto* io = executor.template target<boost::asio::io_context::executor_type>();
    return io != nullptr && io->running_in_this_thread();
  } else {
    return false;
  }
}

/// As `dispatch`; where that would call at once, without what a type-erased executor allocates for it.
template <class Executor, class Call>
void dispatch_on(const Executor& executor, Call call) {
  if (!calls_at_once(executor)) return boost::asio::dispatch(executor, std::move(call));
  try {
    call();
  } catch (...) {  // is io_context::run's to throw
    boost::asio::post(executor, [thrown = std::current_exception()] { std::rethrow_exception(thrown); });
  }
}

/// A handler on its executor, which has outstanding work until it has been called. It is destroyed with its io_context
/// if that goes first.
template <class Handler, class T>
class local_handler final : public local_completion<T>, private pending_op {
 public:
  static std::shared_ptr<local_completion<T>> make(Handler handler, const context& ctx) {
    auto made = std::make_shared<local_handler>(std::move(handler), ctx);
    made->pend_on(made->parts_->executor, made);
    return made;
  }
  /// For make.
  local_handler(Handler handler, const context& ctx)
      : pending_op(&abandon),
        parts_(std::in_place, std::move(handler), counting_clock(ctx)),
        where_(&context_of(parts_->executor)) {}

  [[nodiscard]] boost::asio::execution_context& where() const noexcept override { return *where_; }

  void keep(std::shared_ptr<void> operation) noexcept override { parts_->kept = std::move(operation); }

  void complete(T value, bool here) override {
    if (claimed_.exchange(true, std::memory_order_acq_rel)) return;
    if (here) {  // a thread that runs the context does not destroy it
      const auto executor = std::move(parts_->executor);
      auto call = take(std::move(value));
      leave();
      dispatch_on(executor, std::move(call));
    } else {
      const posting until_it_is_posted(*this);
      const auto executor = std::move(parts_->executor);
      boost::asio::post(executor, take(std::move(value)));
      leave();
    }
  }

 private:
  using executor_type = boost::asio::associated_executor_t<Handler>;

  /// What may not outlive the io_context.
  struct parts {
    Handler handler;
    executor_type executor;
    work_of<executor_type> work;
    activity counted;
    std::shared_ptr<void> kept;

    parts(Handler h, counting_clock clock)
        : handler(std::move(h)),
          executor(boost::asio::get_associated_executor(handler)),
          work(work_on(executor)),
          counted(std::move(clock)) {}
  };

  /// The call of the handler, out of parts_.
  auto take(T value) {
    auto call = [handler = std::move(parts_->handler), work = std::move(parts_->work),
                 value = std::move(value), counted = std::move(parts_->counted)]() mutable {
      const busy_frame on_its_behalf(counted.clock());
      std::move(handler)(std::move(value));
    };
    parts_.reset();
    return call;
  }

  static boost::asio::execution_context& context_of(const executor_type& executor) {
    if constexpr (boost::asio::can_query_v<const executor_type&, boost::asio::execution::context_t>) {
      return boost::asio::query(executor, boost::asio::execution::context);
    } else {
      return boost::asio::query(boost::asio::system_executor(), boost::asio::execution::context);
    }
  }

  static void abandon(pending_op& self) noexcept {
    auto& mine = static_cast<local_handler&>(self);
    if (mine.claimed_.exchange(true, std::memory_order_acq_rel)) {
      mine.await_posting();
      return;
    }
    mine.parts_.reset();
    mine.leave();
  }

  std::optional<parts> parts_;  // of the thread that has claimed it
  boost::asio::execution_context* where_;
  std::atomic<bool> claimed_{false};
};

/// Starts an operation: calls `start(context, completion)`, with a std::shared_ptr<local_completion<T>>, inside this call
/// or, for use_awaitable, when it is awaited. `start` completes it later, never inside its own call.
/// Throws: std::bad_alloc, and what `start` throws.
template <class T, class Token, class Start>
auto initiate_locally(Token&& token, context ctx, Start start) {
  return boost::asio::async_initiate<Token, void(T)>(
      [](auto given, context of, Start begin) {
        auto waiting = local_handler<decltype(given), T>::make(std::move(given), of);
        begin(std::move(of), std::move(waiting));
      },
      token, std::move(ctx), std::move(start));
}

}  // namespace curfew::detail
