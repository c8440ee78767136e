#include <curfew/sql/transact.hpp>

namespace curfew::sql::detail {

std::optional<error> transacting::refused() const {
  auto why = tries_.refused();
  if (!why) return std::nullopt;
  return error(*std::move(why));
}

std::optional<error> transacting::failed(error last) {
  last_ = std::move(last);
  if (last_->outcome() != outcome::did_not_happen) return last_;
  const curfew::error& why = *last_;
  return with_details(tries_.failed(why));
}

std::optional<error> transacting::waited(const curfew::result<>& slept) {
  return with_details(tries_.waited(slept));
}

std::optional<error> transacting::with_details(std::optional<curfew::error> why) const {
  if (!why) return std::nullopt;
  if (why->code() != last_->code()) return error(*std::move(why));  // the end of the context
  return error(why->code(), why->doing(), last_->details(), why->cause());
}

}  // namespace curfew::sql::detail
