#include <curfew/http/checked.hpp>

namespace curfew::http {

std::expected<response, call_error> checked(result<response> reply, std::string doing) {
  if (!reply) return std::unexpected(call_error(std::move(reply).error()));
  if (to_number(reply->status()) / 100 != 2)
    return std::unexpected(call_error(*std::move(reply), std::move(doing)));
  return *std::move(reply);
}

}  // namespace curfew::http
