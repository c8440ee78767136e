#include <algorithm>
#include <curfew/http/fields.hpp>
#include <functional>
#include <limits>
#include <stdexcept>

namespace curfew::http {

namespace {

constexpr std::size_t smallest_buffer = 120;  // the fields of most responses

constexpr unsigned char lower(char c) noexcept {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

std::uint32_t length_of(std::string_view text) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max())
    throw std::length_error("curfew::http::fields: a name or a value beyond 4 GiB");
  return static_cast<std::uint32_t>(text.size());
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

std::optional<std::string_view> fields::find(std::string_view name) const noexcept {
  for (const auto [its_name, value] : *this) {
    if (same_name(its_name, name)) return value;
  }
  return std::nullopt;
}

std::size_t fields::count(std::string_view name) const noexcept {
  std::size_t found = 0;
  for (const auto [its_name, value] : *this) {
    if (same_name(its_name, name)) ++found;
  }
  return found;
}

void fields::reserve(std::size_t bytes) { buffer_.reserve(std::max(bytes, smallest_buffer)); }

/// Does a change move that text?
bool fields::holds(std::string_view text) const noexcept {
  const std::less_equal<> not_behind;
  return !text.empty() && not_behind(buffer_.data(), text.data()) &&
         not_behind(text.data(), buffer_.data() + buffer_.size());
}

/// Puts a field, of which no part is in the buffer, at that place of it.
void fields::put(std::size_t at, std::string_view name, std::string_view value) {
  const lengths its{length_of(name), length_of(value)};
  const std::size_t size = sizeof its + name.size() + value.size();
  if (buffer_.capacity() - buffer_.size() < size)
    reserve(std::max(buffer_.size() + size, 2 * buffer_.capacity()));
  buffer_.insert(at, size, '\0');
  char* const to = buffer_.data() + at;
  std::memcpy(to, &its, sizeof its);
  std::ranges::copy(name, to + sizeof its);
  std::ranges::copy(value, to + sizeof its + name.size());
}

/// \param from  Where a field begins: those before it stay.
void fields::take_out(std::string_view name, std::size_t from) {
  while (from != buffer_.size()) {
    const iterator here(buffer_.data() + from);
    const auto its_size = static_cast<std::size_t>(std::next(here).at_ - here.at_);
    if (same_name((*here).name, name)) {
      buffer_.erase(from, its_size);
    } else {
      from += its_size;
    }
  }
}

void fields::set(std::string_view name, std::string_view value) {
  if (holds(name) || holds(value)) return set(std::string(name), std::string(value));
  const auto first =
      std::ranges::find_if(*this, [&](const field& each) { return same_name(each.name, name); });
  const auto at = static_cast<std::size_t>(first.at_ - buffer_.data());
  put(at, name, value);
  const auto set_one = iterator(buffer_.data() + at);
  take_out(name, static_cast<std::size_t>(std::next(set_one).at_ - buffer_.data()));
}

void fields::add(std::string_view name, std::string_view value) {
  if (holds(name) || holds(value)) return add(std::string(name), std::string(value));
  put(buffer_.size(), name, value);
}

void fields::erase(std::string_view name) {
  if (holds(name)) return erase(std::string(name));
  take_out(name, 0);
}

}  // namespace curfew::http
