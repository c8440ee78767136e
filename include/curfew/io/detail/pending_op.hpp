#pragma once

#include <atomic>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <curfew/core/detail/intrusive_list.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace curfew::detail {

class pending_ops;

/// A copy of this executor for whose life its io_context has work.
// decay: prefer() returns a reference to what it was given where that knows no outstanding work
template <class Executor>
using work_of = std::decay_t<decltype(boost::asio::prefer(std::declval<const Executor&>(),
                                                          boost::asio::execution::outstanding_work.tracked))>;

template <class Executor>
work_of<Executor> work_on(const Executor& executor) {
  return boost::asio::prefer(executor, boost::asio::execution::outstanding_work.tracked);
}

/// An operation that waits outside of the io_context that its handler belongs to. If the io_context is destroyed
/// before, it abandons the operation.
class pending_op : private list_hook<pending_ops> {
 public:
  pending_op(const pending_op&) = delete;
  pending_op& operator=(const pending_op&) = delete;

 protected:
  using abandon_fn = void (*)(pending_op&) noexcept;

  /// \param abandon  Destroys the handler, unless the operation is about to post it: then waits for that.
  explicit pending_op(abandon_fn abandon) noexcept : abandon_(abandon) {}
  /// Leaves the io_context, if it has not yet.
  ~pending_op();

  /// From now on the io_context of this executor, if it has one, knows the operation.
  /// \param owner  For an operation that may be destroyed in another thread while it is abandoned. Null: it destroys
  ///               itself.
  template <class Executor>
  void pend_on(const Executor& executor, std::weak_ptr<void> owner = {}) {
    if constexpr (boost::asio::can_query_v<const Executor&, boost::asio::execution::context_t>)
      pend_in(boost::asio::query(executor, boost::asio::execution::context), std::move(owner));
  }
  /// It has nothing to do with the io_context any more, which may go. To be called where it is posted or abandoned.
  void leave() noexcept;

  /// While it lives, the io_context is not destroyed. To be made before what posts the operation.
  class posting {
   public:
    explicit posting(pending_op& op) noexcept;
    posting(const posting&) = delete;
    posting& operator=(const posting&) = delete;
    ~posting();

   private:
    pending_ops* of_;
  };
  /// Waits until there is a `posting` for it.
  void await_posting() const noexcept;

 private:
  friend class pending_ops;
  friend class intrusive_list<pending_op, pending_ops>;

  void pend_in(boost::asio::execution_context& context, std::weak_ptr<void> owner);

  const abandon_fn abandon_;
  bool is_shared_ = false;
  std::weak_ptr<void> owner_;
  pending_ops* of_ = nullptr;
  std::atomic<bool> is_posting_{false};
};

}  // namespace curfew::detail
