#pragma once

#include <atomic>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/post.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/blocking.hpp>
#include <curfew/io/detail/pending_op.hpp>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

namespace curfew::detail {

/// A handler that another thread has called, on the handler's executor, which has outstanding work until then. It
/// is destroyed with its io_context if that goes first; then nothing is called. A manual clock counts it from the
/// start, since the other thread works for it.
/// Thread safety: any thread.
template <class Handler>
class remote_handler final : private pending_op {
 public:
  static std::shared_ptr<remote_handler> make(Handler handler, const context& ctx = background()) {
    auto made = std::make_shared<remote_handler>(std::move(handler), ctx);
    made->pend_on(made->parts_->executor, made);
    return made;
  }
  /// For make.
  remote_handler(Handler handler, const context& ctx)
      : pending_op(&abandon),
        parts_(std::in_place, std::move(handler), counting_clock(ctx)) {}

  /// \return whether it is now the caller's to post. From then on the io_context waits with its destruction for that.
  [[nodiscard]] bool claim() noexcept { return !claimed_.exchange(true, std::memory_order_acq_rel); }

  /// What the thread that has claimed it works for.
  [[nodiscard]] const counting_clock& clock() const noexcept { return parts_->counted.clock(); }

  /// Has it called with these. Only for who has claimed it.
  template <class... Arguments>
  void post(Arguments... arguments) {
    const posting until_it_is_posted(*this);
    const auto executor = std::move(parts_->executor);
    auto call = [handler = std::move(parts_->handler), work = std::move(parts_->work),
                 with = std::make_tuple(std::move(arguments)...),
                 counted = std::move(parts_->counted)]() mutable {
      const busy_frame here(counted.clock());
      std::apply(std::move(handler), std::move(with));
    };
    parts_.reset();
    boost::asio::post(executor, std::move(call));
    leave();
  }

 private:
  using executor_type = boost::asio::associated_executor_t<Handler>;

  /// What may not outlive the io_context.
  struct parts {
    Handler handler;
    executor_type executor;
    work_of<executor_type> work;
    activity counted;

    parts(Handler h, counting_clock clock)
        : handler(std::move(h)),
          executor(boost::asio::get_associated_executor(handler)),
          work(work_on(executor)),
          counted(std::move(clock)) {}
  };

  static void abandon(pending_op& self) noexcept {
    auto& mine = static_cast<remote_handler&>(self);
    if (!mine.claim()) {
      mine.await_posting();  // then it is in the queue of the io_context, which destroys it
      return;
    }
    mine.parts_.reset();
    mine.leave();
  }

  std::optional<parts> parts_;  // of the one who has claimed it
  std::atomic<bool> claimed_{false};
};

}  // namespace curfew::detail
