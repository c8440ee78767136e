#include "sql/postgres/told_settings.hpp"

#include <algorithm>

namespace curfew::sql::postgres {

std::optional<told_settings::change> told_settings::begin(const session_settings& wanted) {
  const auto is_known = [](const auto& wants, const auto& known) {
    return wants.first == known.first && wants.second == known.second;
  };
  if (std::ranges::equal(wanted, known_, is_known)) return std::nullopt;
  before_ = known_;
  for (const auto& [name, value] : wanted) known_.try_emplace(name);
  change made;
  for (auto& [name, value] : known_) {
    const auto found = wanted.find(name);
    if (found != wanted.end() && value == found->second) continue;
    value.reset();
    made.values.add(name);
    made.text +=
        (made.text.empty() ? "select set_config($" : ", set_config($") + std::to_string(made.values.size());
    // NULL resets it.
    if (found != wanted.end()) {
      made.values.add(found->second);
    } else {
      made.values.add(nullptr);
    }
    made.text += ", $" + std::to_string(made.values.size()) + ", false)";
  }
  return made;
}

void told_settings::done(const session_settings& wanted) {
  known_.clear();
  for (const auto& [name, value] : wanted) known_.emplace(name, value);
}

}  // namespace curfew::sql::postgres
