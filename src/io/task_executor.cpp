#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/require.hpp>
#include <curfew/io/detail/task_executor.hpp>
#include <type_traits>
#include <utility>

namespace curfew::detail {

namespace asio = boost::asio;

namespace {

/// Runs on Inner, and works for a task there. It has the properties of Inner.
template <class Inner>
class task_executor {
 public:
  task_executor(Inner inner, task_ref task) noexcept : inner_(std::move(inner)), task_(task) {}

  [[nodiscard]] const Inner& inner() const noexcept { return inner_; }

  template <class Property>
    requires asio::can_query<const Inner&, Property>::value
  decltype(auto) query(const Property& p) const
      noexcept(asio::is_nothrow_query<const Inner&, Property>::value) {
    return asio::query(inner_, p);
  }

  template <class Property>
    requires asio::can_require<const Inner&, Property>::value
  auto require(const Property& p) const {
    return with(asio::require(inner_, p));
  }

  template <class Property>
    requires asio::can_prefer<const Inner&, Property>::value
  auto prefer(const Property& p) const {
    return with(asio::prefer(inner_, p));
  }

  template <class F>
  void execute(F&& f) const {
    const std::uint64_t since = task_listener()->ticks();
    inner_.execute([task = task_, since, f = std::forward<F>(f)]() mutable {
      const working_for here(task);
      task_listener()->lag(since);
      std::move(f)();
    });
  }

  friend bool operator==(const task_executor& a, const task_executor& b) noexcept {
    return a.inner_ == b.inner_ && a.task_ == b.task_;
  }
  friend bool operator!=(const task_executor& a, const task_executor& b) noexcept { return !(a == b); }

 private:
  template <class Other>
  task_executor<std::decay_t<Other>> with(Other&& other) const {
    return {std::forward<Other>(other), task_};
  }

  Inner inner_;
  task_ref task_;
};

}  // namespace

asio::any_io_executor working_for_on(task_ref task, asio::any_io_executor executor) {
  if (!task) return executor;
  using of_loop = asio::io_context::executor_type;
  using any = asio::any_io_executor;
  if (const auto* loop = executor.target<of_loop>()) return task_executor(*loop, task);
  if (const auto* other = executor.target<task_executor<of_loop>>())
    return task_executor(other->inner(), task);
  if (const auto* other = executor.target<task_executor<any>>()) return task_executor(other->inner(), task);
  return task_executor(std::move(executor), task);
}

}  // namespace curfew::detail
