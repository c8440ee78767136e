#include <algorithm>
#include <curfew/http/fields.hpp>

namespace curfew::http {

namespace {

constexpr unsigned char lower(char c) noexcept {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

const std::string* fields::find(std::string_view name) const noexcept {
  for (const field& f : list_) {
    if (same_name(f.name, name)) return &f.value;
  }
  return nullptr;
}

std::size_t fields::count(std::string_view name) const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(list_, [&](const field& f) { return same_name(f.name, name); }));
}

void fields::set(std::string_view name, std::string_view value) {
  const auto is_it = [&](const field& f) { return same_name(f.name, name); };
  const auto first = std::ranges::find_if(list_, is_it);
  if (first == list_.end()) return add(name, value);
  first->value = value;
  list_.erase(std::remove_if(first + 1, list_.end(), is_it), list_.end());
}

void fields::add(std::string_view name, std::string_view value) {
  list_.push_back(field{std::string(name), std::string(value)});
}

void fields::erase(std::string_view name) {
  std::erase_if(list_, [&](const field& f) { return same_name(f.name, name); });
}

}  // namespace curfew::http
