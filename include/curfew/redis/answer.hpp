#pragma once

#include <cstdint>
#include <curfew/redis/reply.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::redis {

/// An entry of a stream.
struct stream_entry {
  std::string id;  ///< "1700000000000-0"
  std::vector<std::pair<std::string, std::string>> fields;

  /// The first of that name; null: there is none.
  [[nodiscard]] const std::string* find(std::string_view name) const noexcept;
  friend bool operator==(const stream_entry&, const stream_entry&) = default;
};

/// What was read from one of the streams that were asked for.
struct stream_entries {
  std::string stream;
  std::vector<stream_entry> entries;
};

/// What a consumer has taken over from others.
struct claimed_entries {
  std::string next;  ///< Where to go on; "0-0": there are no more.
  std::vector<stream_entry> entries;
  std::vector<std::string>
      deleted;  ///< Ids of those that were in the list of pending ones, and are no more in the stream.
};

/// Field and value of a hash.
using hash_fields = std::map<std::string, std::string, std::less<>>;

namespace detail {

/// Takes a reply for a T, and moves out of it; false if it is none.
template <class T>
struct answer;

// clang-format off: one line each
template <> struct answer<std::int64_t> { static bool take(reply& from, std::int64_t& to) noexcept; };
template <> struct answer<double> { static bool take(reply& from, double& to) noexcept; };
/// 1 or 0; "OK" or nil.
template <> struct answer<bool> { static bool take(reply& from, bool& to) noexcept; };
template <> struct answer<std::string> { static bool take(reply& from, std::string& to) noexcept; };
template <> struct answer<stream_entry> { static bool take(reply& from, stream_entry& to); };
template <> struct answer<stream_entries> { static bool take(reply& from, stream_entries& to); };
template <> struct answer<claimed_entries> { static bool take(reply& from, claimed_entries& to); };
template <> struct answer<hash_fields> { static bool take(reply& from, hash_fields& to); };
template <> struct answer<reply> { static bool take(reply& from, reply& to) noexcept { to = std::move(from); return true; } };
// clang-format on

/// Nil is none.
template <class T>
struct answer<std::optional<T>> {
  static bool take(reply& from, std::optional<T>& to) {
    return from.is_nil() || answer<T>::take(from, to.emplace());
  }
};

/// Nil is an empty one: XREADGROUP answers so.
template <class T>
struct answer<std::vector<T>> {
  static bool take(reply& from, std::vector<T>& to) {
    if (from.is_nil()) return true;
    if (from.kind() != reply::kind::array) return false;
    to.reserve(from.items().size());
    for (reply& each : from.items()) {
      T value{};
      if (!answer<T>::take(each, value)) return false;
      to.push_back(std::move(value));
    }
    return true;
  }
};

/// Pairs, which Redis sends flat.
template <class A, class B>
struct answer<std::vector<std::pair<A, B>>> {
  static bool take(reply& from, std::vector<std::pair<A, B>>& to) {
    auto& items = from.items();
    if (from.kind() != reply::kind::array || items.size() % 2 != 0) return false;
    to.resize(items.size() / 2);
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (!answer<A>::take(items[2 * i], to[i].first) || !answer<B>::take(items[2 * i + 1], to[i].second))
        return false;
    }
    return true;
  }
};

template <class A, class B>
struct answer<std::pair<A, B>> {
  static bool take(reply& from, std::pair<A, B>& to) {
    auto& items = from.items();
    return from.kind() == reply::kind::array && items.size() == 2 && answer<A>::take(items[0], to.first) &&
           answer<B>::take(items[1], to.second);
  }
};

}  // namespace detail
}  // namespace curfew::redis
