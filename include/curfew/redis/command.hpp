#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/redis/answer.hpp>
#include <curfew/redis/error.hpp>
#include <curfew/redis/reply.hpp>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew::redis {

namespace detail {

/// "GET user:1" of `*2\r\n$3\r\nGET\r\n…`, shortened.
[[nodiscard]] std::string shown(std::string_view sent);

/// The words of a command, as they are sent.
class request {
 public:
  /// Throws: std::length_error of words beyond what Redis takes (512 MB), std::bad_alloc.
  explicit request(std::span<const std::string_view> words);
  /// That of a script: EVALSHA, and EVAL where the server does not know it.
  request(std::shared_ptr<const std::string> lua, std::string_view sha,
          std::span<const std::string_view> rest);

  [[nodiscard]] const std::string& bytes() const& noexcept { return bytes_; }
  [[nodiscard]] std::string bytes() && noexcept { return std::move(bytes_); }
  [[nodiscard]] std::string shown() const { return detail::shown(bytes_); }
  /// Waits in the server for something to happen.
  [[nodiscard]] bool blocks() const noexcept { return blocks_; }
  void set_blocks() noexcept { blocks_ = true; }
  /// Of a script: the same with its text.
  [[nodiscard]] bool has_script() const noexcept { return lua_ != nullptr; }
  [[nodiscard]] request with_text() const;

 private:
  request() = default;

  std::string bytes_;
  std::shared_ptr<const std::string> lua_;
  std::size_t rest_ = 0;  // where the words behind a script's name begin
  bool blocks_ = false;
};

/// The error of an answer that is one.
[[nodiscard]] error server_error(const reply& said, std::string doing);
/// The same, to a command: a script may have done a part of its work.
[[nodiscard]] error refusal(const reply& said, const request& of);
[[nodiscard]] error not_of_that_type(const reply& got, const request& of);

/// As a T. \param of  For the error's text.
template <class T>
result<T> decode(reply&& got, const request& of) {
  if constexpr (std::is_same_v<T, reply>) {
    return std::move(got);
  } else if constexpr (std::is_void_v<T>) {
    if (got.is_error()) return refusal(got, of);
    return {};
  } else {
    if (got.is_error()) return refusal(got, of);
    T value{};
    if (!answer<T>::take(got, value)) return not_of_that_type(got, of);
    return value;
  }
}

}  // namespace detail

/// A command, with the type of its answer; the functions of commands.hpp make them. It is sent by a `client`, once or
/// often, alone or among others.
///
/// \tparam T  What the answer is taken for: std::int64_t, double, bool, std::string, std::optional, std::vector and
///            std::map of these, and more; void: its failure alone is of interest; reply: as it is, errors too.
template <class T>
class command {
 public:
  using value_type = T;

  explicit command(detail::request what) noexcept : request_(std::move(what)) {}

  [[nodiscard]] const detail::request& request() const& noexcept { return request_; }
  [[nodiscard]] detail::request&& request() && noexcept { return std::move(request_); }

 private:
  detail::request request_;
};

namespace detail {

/// Commands that nothing of others is carried out between.
enum class together : std::uint8_t { no, yes };

/// Those of a caller's commands, which outlive the call.
using requests = std::vector<const request*>;

template <class T>
requests requests_of(const std::vector<command<T>>& all) {
  requests made;
  made.reserve(all.size());
  for (const auto& each : all) made.push_back(&each.request());
  return made;
}

template <class T>
result<std::vector<result<T>>> decode_each(result<std::vector<reply>>&& got,
                                           const std::vector<command<T>>& of) {
  if (!got) return std::move(got).error();
  std::vector<result<T>> made;
  made.reserve(of.size());
  for (std::size_t i = 0; i < of.size(); ++i)
    made.push_back(decode<T>(std::move((*got)[i]), of[i].request()));
  return made;
}

template <class... T, class... Requests>
result<std::tuple<result<T>...>> decode_tuple(result<std::vector<reply>>&& got, const Requests&... of) {
  if (!got) return std::move(got).error();
  auto each = got->begin();
  return result<std::tuple<result<T>...>>{
      std::in_place, decode<T>(std::move(*each++), of)...};  // braces: from left to right
}

}  // namespace detail

/// Any command, and what its answer is:
///
///     auto size = redis::raw<std::int64_t>({"STRLEN", "greeting"});
///
/// For one that blocks in the server, there are functions of its own.
template <class T = reply>
[[nodiscard]] command<T> raw(std::initializer_list<std::string_view> words) {
  return command<T>(detail::request(std::span(words.begin(), words.size())));
}
template <class T = reply>
[[nodiscard]] command<T> raw(std::span<const std::string_view> words) {
  return command<T>(detail::request(words));
}

}  // namespace curfew::redis
