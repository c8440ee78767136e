#pragma once

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <utility>

namespace curfew::redis {

/// Runs what it is given at once: Asio calls a socket's completions in a thread that runs the context, and there they
/// belong.
class inline_executor {
 public:
  explicit inline_executor(boost::asio::execution_context& of) noexcept : of_(&of) {}

  boost::asio::execution_context& query(boost::asio::execution::context_t /*what*/) const noexcept {
    return *of_;
  }
  template <class F>
  void execute(F&& f) const {
    std::forward<F>(f)();
  }
  friend bool operator==(const inline_executor&, const inline_executor&) noexcept = default;

 private:
  boost::asio::execution_context* of_;
};

}  // namespace curfew::redis
