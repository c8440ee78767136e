#include <atomic>
#include <boost/asio/execution_context.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/detail/threads.hpp>
#include <curfew/io/detail/pending_op.hpp>
#include <memory>
#include <mutex>
#include <utility>

// Invariants
//  1. An operation is in the list of its io_context from pend_on() until it leaves, which ~pending_op does at the
//     latest. Posting and abandoning are exclusive: the thread that claims the operation does one of them, and the other
//     touches nothing but is_posting_.
//  2. An operation without an owner lives until it is abandoned or posted. One with an owner may be destroyed in
//     any thread: then it leaves by itself, and the io_context waits for that; else it is kept alive here.
//  3. A thread that posts counts in posting_ until it is out of post(), and the io_context waits for it.
//
// Locks. mutex_ is never held while an operation is abandoned or posted.

namespace curfew::detail {

/// The operations of one io_context that wait outside of it. Without this list, they and the coroutines in them would
/// outlive the io_context, and complete on it.
class pending_ops final : public boost::asio::execution_context::service {
 public:
  inline static boost::asio::execution_context::id id;

  explicit pending_ops(boost::asio::execution_context& owner) : service(owner) {}

  void add(pending_op& op) noexcept {
    const std::lock_guard guard(mutex_);
    pending_.push_back(op);
  }

  void begin_posting() noexcept { posting_.fetch_add(1, std::memory_order_relaxed); }
  void end_posting() noexcept { posting_.fetch_sub(1, std::memory_order_release); }  // pairs: shutdown()

  void remove(pending_op& op) noexcept {
    const std::lock_guard guard(mutex_);
    pending_.remove(op);
  }

 private:
  /// The io_context is being destroyed, and no thread runs it.
  void shutdown() noexcept override {
    for (unsigned tries = 0;;) {
      pending_op* op = nullptr;
      std::shared_ptr<void> owner;
      {
        const std::lock_guard guard(mutex_);
        op = pending_.front();
        if (op == nullptr) break;
        if (op->is_shared_) owner = op->owner_.lock();
        if (owner != nullptr || !op->is_shared_) {
          pending_.remove(*op);
        } else {
          op = nullptr;  // is being destroyed, and then leaves by itself
        }
      }
      if (op != nullptr) {
        op->abandon_(*op);  // may destroy others, with the coroutine in its handler
      } else {
        threads::relax(tries++);
      }
    }
    // A thread that posted one before may still be in post().
    for (unsigned tries = 0; posting_.load(std::memory_order_acquire) != 0; ++tries) threads::relax(tries);
  }

  std::atomic<unsigned> posting_{0};
  std::mutex mutex_;
  intrusive_list<pending_op, pending_ops> pending_;  // guarded by mutex_
};

pending_op::~pending_op() {
  if (of_ != nullptr) of_->remove(*this);
}

void pending_op::leave() noexcept {
  if (pending_ops* of = std::exchange(of_, nullptr)) of->remove(*this);
}

pending_op::posting::posting(pending_op& op) noexcept : of_(op.of_) {
  if (of_ == nullptr) return;
  of_->begin_posting();
  op.is_posting_.store(true, std::memory_order_release);  // pairs: await_posting()
}

pending_op::posting::~posting() {
  if (of_ != nullptr) of_->end_posting();
}

void pending_op::await_posting() const noexcept {
  for (unsigned tries = 0; !is_posting_.load(std::memory_order_acquire); ++tries) threads::relax(tries);
}

void pending_op::pend_in(boost::asio::execution_context& context, std::weak_ptr<void> owner) {
  owner_ = std::move(owner);
  is_shared_ = !owner_.expired();
  of_ = &boost::asio::use_service<pending_ops>(context);
  of_->add(*this);
}

}  // namespace curfew::detail
