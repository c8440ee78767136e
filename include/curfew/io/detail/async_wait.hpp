#pragma once

// A wait of an asynchronous operation, in the lists in which threads wait too; see sync/detail/waiter.hpp.
//
// Invariants
//  1. An operation is owned by the call that starts it, until arm() says that it is armed; from then on by the
//     thread that finishes its waiter, which posts it; then by the function posted, on the handler's executor.
//  2. Until its handler is called it is known to the pending_ops of its io_context, which destroys it, with
//     its handler, if the io_context is destroyed before. If it has been claimed by then, which may be in
//     another thread, the io_context waits with its destruction until that thread has posted it.
//  3. Its registrations (with the context, with the cancellation slot, in a list) are removed by that
//     function alone, before the handler is called. Whoever finishes the waiter from one of them is out of
//     the operation by then, or is waited for, since a registration waits when it is removed.

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/detail/pending_op.hpp>
#include <curfew/sync/detail/spin_lock.hpp>
#include <curfew/sync/detail/waitable.hpp>
#include <curfew/sync/detail/waiter.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace curfew::detail {

/// \tparam Wait  What is waited for:
///   bool try_now()                      it happens now, if it can without waiting
///   bool enlist(waiter&)                false: it has happened, and the waiter is in no list
///   void delist(const wait_entry* by)   the waiter was finished by this entry; null: by none of its own
///   tuple outcome(ctx, bool happened)   what the handler is called with
///   void undo()                         may be left out: it has happened, but there is nobody to tell, or the
///                                       context had ended before
///   const char* what()                  a literal, which inspection shows: "receive"
///   const void* as_lock()               may be left out: as of a waitable
///   bool has_ended()                    may be left out: one of the things is the end of a context, which has ended
template <class Wait, class Handler>
class async_wait_op final : public waiter, private pending_op {
 public:
  async_wait_op(context ctx, Wait wait, Handler handler)
      : waiter(&wake, &has_ended_of),
        pending_op(&abandon),
        ctx_(std::move(ctx)),
        clock_(ctx_),
        wait_(std::move(wait)),
        handler_(std::move(handler)),
        executor_(boost::asio::get_associated_executor(handler_)),
        work_(work_on(executor_)) {}
  ~async_wait_op() {
    // Reached early only with its io_context: what happened reaches nobody. The cancellation signal may be gone.
    if (stage_ == stage::enlisted) delist();
    if constexpr (can_undo<Wait>) {
      if (stage_ == stage::happened) wait_.undo();
    }
  }

  static void start(std::unique_ptr<async_wait_op> op) {
    op->pend_on(op->executor_);
    if (!op->wait_.enlist(*op)) {
      op->stage_ = stage::happened;
      auto executor = op->executor_;
      activity counted(op->clock_);
      boost::asio::post(executor, [op = std::move(op), counted = std::move(counted)]() mutable {
        const busy_frame here(counted.clock());
        complete(std::move(op));
      });
      return;
    }
    op->stage_ = stage::enlisted;
    op->ending_.emplace(op->ctx_, give_up{op.get()});
    try {
      op->obey_slot();
    } catch (...) {
      if (op->claim()) throw;  // without memory for that it is not started; it leaves its list
    }
    if (op->arm()) {
      static_cast<void>(op.release());  // invariant 1
    } else {
      post_finished(std::move(op));
    }
  }

 private:
  struct give_up {
    async_wait_op* op;
    void operator()() const noexcept {
      if (op->claim()) op->finish(nullptr);
    }
  };

  static void abandon(pending_op& self) noexcept {
    std::unique_ptr<async_wait_op> op(static_cast<async_wait_op*>(&self));
    if (!op->claim()) {
      op->await_posting();
      static_cast<void>(op.release());  // it is in the queue of the io_context, which destroys it
    }
  }

  static bool has_ended_of(const waiter& self) noexcept {
    const auto& op = static_cast<const async_wait_op&>(self);
    if (op.ctx_.err()) return true;
    if constexpr (requires { op.wait_.has_ended(); }) {
      return op.wait_.has_ended();
    } else {
      return false;
    }
  }

  static void wake(waiter& self) noexcept {
    static_cast<async_wait_op&>(self).publish();
    post_finished(std::unique_ptr<async_wait_op>(static_cast<async_wait_op*>(&self)));
  }

  /// The handler's executor has to be told. If there is no memory for that the program terminates: an
  /// operation that never completes would be a request that never dies.
  static void post_finished(std::unique_ptr<async_wait_op> op) noexcept {
    const posting until_it_is_posted(*op);
    auto executor = op->executor_;
    activity counted(op->clock_);
    boost::asio::post(executor, [op = std::move(op), counted = std::move(counted)]() mutable {
      const busy_frame here(counted.clock());
      if (auto slot = boost::asio::get_associated_cancellation_slot(op->handler_); slot.is_connected())
        slot.clear();
      op->delist();
      complete(std::move(op));
    });
  }

  void obey_slot() {
    auto slot = boost::asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected())
      slot.assign([this](boost::asio::cancellation_type /*type*/) { give_up{this}(); });
  }

  /// Removes its registrations with the context and in a list.
  void delist() noexcept {
    ending_.reset();
    const wait_entry* by = ended_by();
    wait_.delist(by);
    stage_ = by != nullptr ? stage::happened : stage::fresh;
  }

  static void complete(std::unique_ptr<async_wait_op> op) {
    const bool happened = std::exchange(op->stage_, stage::delivered) == stage::happened;
    auto outcome = op->wait_.outcome(op->ctx_, happened);
    Handler handler = std::move(op->handler_);
    // Its executor has work until the handler has been called.
    [[maybe_unused]] const auto work = std::move(op->work_);
    op.reset();  // its memory may serve the handler's next operation
    std::apply(std::move(handler), std::move(outcome));
  }

  using executor_type = boost::asio::associated_executor_t<Handler>;

  context ctx_;
  counting_clock clock_;  // counts the handler, from when it is posted until it has returned
  Wait wait_;
  Handler handler_;
  executor_type executor_;  // for posting: it is copied there, and a copy of work_ counts
  work_of<executor_type> work_;
  std::optional<on_done<give_up>> ending_;
  enum class stage : unsigned char { fresh, enlisted, happened, delivered } stage_ = stage::fresh;
};

template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<result<T>> = true;

/// The wait for one Thing of sync, see sync/detail/select_case.hpp.
template <class Thing>
class async_thing {
 public:
  async_thing(Thing thing, const char* doing) noexcept : thing_(std::move(thing)), doing_(doing) {}

  bool try_now() { return thing_.try_now(); }
  [[nodiscard]] const char* what() const noexcept { return doing_; }
  [[nodiscard]] const void* as_lock() const noexcept { return lock_of(thing_); }

  bool enlist(waiter& w) {
    finish_list after;
    std::unique_lock<spin_lock> guard;
    if (spin_lock* lock = thing_.lock(); lock != nullptr) guard = std::unique_lock(*lock);
    // Taken back: no list is entered, and the end of the context finishes the wait.
    if (thing_.try_locked(after)) return !is_in_time(thing_, [&w] { return w.has_ended(); });
    thing_.enlist(w);
    return true;
  }

  void delist(const wait_entry* by) noexcept {
    if (by == nullptr || thing_.lock() == nullptr) thing_.delist();
  }

  void undo()
    requires can_undo<Thing>
  {
    thing_.undo();
  }

  auto outcome(const context& ctx, bool happened) {
    using given = decltype(thing_.outcome());
    if constexpr (is_result<given>) {
      if (!happened) return std::tuple<given>(std::unexpected(canceled(ctx)));
      return std::tuple<given>(thing_.outcome());
    } else {
      if (!happened) return std::tuple<result<given>>(std::unexpected(canceled(ctx)));
      if constexpr (std::is_void_v<given>) {
        thing_.outcome();
        return std::tuple<result<given>>(result<given>());
      } else {
        return std::tuple<result<given>>(thing_.outcome());
      }
    }
  }

 private:
  /// By the end of the context, or by Asio's cancellation slot.
  [[nodiscard]] error canceled(const context& ctx) const {
    if (ctx.err()) return error::ended(ctx, doing_);
    return error(make_error_code(errc::canceled), doing_);
  }

  Thing thing_;
  const char* doing_;
};

/// What Asio calls with the handler. (Not a lambda without captures: g++ 12 takes an empty object that it hands on
/// for one that is not initialized, and warns of it.)
template <class Wait>
struct wait_initiation {
  context ctx;
  Wait wait;

  template <class Handler>
  void operator()(Handler handler) {
    const bool ended = static_cast<bool>(ctx.err());
    if (ended || (!can_undo<Wait> && wait.try_now())) {
      const auto executor = boost::asio::get_associated_executor(handler);
      activity counted{counting_clock(ctx)};
      boost::asio::post(executor, [handler = std::move(handler), outcome = wait.outcome(ctx, !ended),
                                   counted = std::move(counted)]() mutable {
        const busy_frame here(counted.clock());
        std::apply(std::move(handler), std::move(outcome));
      });
    } else {
      using op = async_wait_op<Wait, Handler>;
      about_to_wait(wait.what(), 0, lock_of(wait));
      op::start(std::make_unique<op>(std::move(ctx), std::move(wait), std::move(handler)));
    }
  }
};

/// Whether a coroutine of this thread goes on with what need not wait. Now and then it does not: else one that
/// always finds something would never let the others of its io_context run.
[[nodiscard]] inline bool goes_on() noexcept {
  constexpr unsigned in_a_row = 128;
  constinit thread_local unsigned left = in_a_row;
  if (left != 0) {
    --left;
    return true;
  }
  left = in_a_row;
  return false;
}

template <class T>
T given_to_coroutine(std::tuple<T> outcome) {
  return std::get<0>(std::move(outcome));
}
template <class T>
T given_to_coroutine(std::tuple<std::exception_ptr, T> outcome) {
  if (std::get<0>(outcome) != nullptr) std::rethrow_exception(std::get<0>(std::move(outcome)));
  return std::get<1>(std::move(outcome));
}

template <class Wait>
using given_by = decltype(given_to_coroutine(
    std::declval<Wait&>().outcome(std::declval<const context&>(), std::declval<bool>())));

/// The wait of a coroutine, which is not suspended where it need not wait: it runs on its executor already.
template <class Signature, class Executor, class Wait>
boost::asio::awaitable<given_by<Wait>, Executor> await_wait(context ctx, Wait wait,
                                                            boost::asio::use_awaitable_t<Executor> token) {
  if (goes_on()) {
    const auto has_ended = [&ctx] { return static_cast<bool>(ctx.err()); };
    bool ended = has_ended();
    const bool happened = !ended && wait.try_now();
    if (happened && !is_in_time(wait, has_ended)) ended = true;
    if (ended || happened) co_return given_to_coroutine(wait.outcome(ctx, !ended));
  }
  auto waiting = boost::asio::async_initiate<boost::asio::use_awaitable_t<Executor>, Signature>(
      wait_initiation<Wait>{std::move(ctx), std::move(wait)}, token);
  co_return co_await std::move(waiting);
}

template <class Token>
inline constexpr bool is_use_awaitable = false;
template <class Executor>
inline constexpr bool is_use_awaitable<boost::asio::use_awaitable_t<Executor>> = true;

/// Starts an operation that waits; its handler is called with what `Wait::outcome` gives.
template <class Signature, class Token, class Wait>
auto initiate_wait(Token&& token, context ctx, Wait wait) {
  if constexpr (is_use_awaitable<std::remove_cvref_t<Token>>) {
    return await_wait<Signature>(std::move(ctx), std::move(wait), token);
  } else {
    return boost::asio::async_initiate<Token, Signature>(
        wait_initiation<Wait>{std::move(ctx), std::move(wait)}, token);
  }
}

}  // namespace curfew::detail
