#include <charconv>
#include <cmath>
#include <curfew/redis/answer.hpp>
#include <limits>
#include <string>
#include <utility>

namespace curfew::redis {

const std::string* stream_entry::find(std::string_view name) const noexcept {
  for (const auto& [field, value] : fields) {
    if (field == name) return &value;
  }
  return nullptr;
}

namespace detail {

namespace {

bool is_text(const reply& what) noexcept {
  return what.kind() == reply::kind::string || what.kind() == reply::kind::status;
}

template <class T>
bool parse(const std::string& text, T& to) noexcept {
  const char* const end = text.data() + text.size();
  const auto [stop, wrong] = std::from_chars(text.data(), end, to);
  return wrong == std::errc() && stop == end;
}

}  // namespace

bool answer<std::int64_t>::take(reply& from, std::int64_t& to) noexcept {
  if (from.kind() == reply::kind::integer) {
    to = from.integer();
    return true;
  }
  return from.kind() == reply::kind::string && parse(from.text(), to);  // what INCR has left, read by GET
}

bool answer<double>::take(reply& from, double& to) noexcept {
  if (from.kind() == reply::kind::integer) {
    to = static_cast<double>(from.integer());
    return true;
  }
  return from.kind() == reply::kind::string && parse(from.text(), to);  // from_chars reads inf, too
}

bool answer<bool>::take(reply& from, bool& to) noexcept {
  switch (from.kind()) {
    case reply::kind::integer:
      to = from.integer() != 0;
      return from.integer() == 0 || from.integer() == 1;
    case reply::kind::nil:
      to = false;
      return true;
    case reply::kind::status:
      to = from.text() == "OK";
      return to;
    default:
      return false;
  }
}

bool answer<std::string>::take(reply& from, std::string& to) noexcept {
  if (!is_text(from)) return false;
  to = std::move(from.text());
  return true;
}

bool answer<stream_entry>::take(reply& from, stream_entry& to) {
  auto& items = from.items();
  if (items.size() != 2 || !answer<std::string>::take(items[0], to.id)) return false;
  return items[1].is_nil() || answer<decltype(to.fields)>::take(items[1], to.fields);  // nil: deleted since
}

bool answer<stream_entries>::take(reply& from, stream_entries& to) {
  auto& items = from.items();
  return items.size() == 2 && answer<std::string>::take(items[0], to.stream) &&
         answer<std::vector<stream_entry>>::take(items[1], to.entries);
}

bool answer<claimed_entries>::take(reply& from, claimed_entries& to) {
  auto& items = from.items();
  if (items.size() != 2 && items.size() != 3) return false;  // Redis 6 tells nothing of the deleted ones
  if (!answer<std::string>::take(items[0], to.next) || items[1].kind() != reply::kind::array) return false;
  for (reply& each : items[1].items()) {
    if (each.is_nil()) continue;  // Redis 6: deleted
    if (!answer<stream_entry>::take(each, to.entries.emplace_back())) return false;
  }
  return items.size() == 2 || answer<std::vector<std::string>>::take(items[2], to.deleted);
}

bool answer<hash_fields>::take(reply& from, hash_fields& to) {
  std::vector<std::pair<std::string, std::string>> flat;
  if (!answer<decltype(flat)>::take(from, flat)) return false;
  for (auto& [field, value] : flat) to.emplace(std::move(field), std::move(value));
  return true;
}

}  // namespace detail
}  // namespace curfew::redis
