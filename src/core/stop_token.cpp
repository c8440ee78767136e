#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/key.hpp>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace curfew {

namespace {

struct cancel_on_stop {
  canceler target;
  cause why;

  void operator()() const noexcept { target.cancel(why); }
};

/// Lives in the place above the context that it cancels, and so exactly as long as that can be asked for.
using registration = std::shared_ptr<std::optional<std::stop_callback<cancel_on_stop>>>;

constexpr key<registration> registered{"stop token"};

}  // namespace

cancel_scope with_stop_token(const context& parent, std::stop_token token, std::source_location where) {
  if (!token.stop_possible()) return with_cancel(parent, where);
  auto callback = std::make_shared<registration::element_type>();
  cancel_scope scope = with_cancel(with_value(parent, registered, callback, where), where);
  callback->emplace(std::move(token), cancel_on_stop{scope.canceler(), cause("stop requested")});
  return scope;
}

}  // namespace curfew
