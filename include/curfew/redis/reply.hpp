#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace curfew::redis {

/// What Redis answers, as it is: a value of RESP2.
class reply {
 public:
  enum class kind : std::uint8_t { nil, integer, string, status, error, array };

  /// Nil.
  reply() noexcept = default;
  explicit reply(std::int64_t number) noexcept : kind_(kind::integer), integer_(number) {}
  /// \param what  string, status or error.
  reply(enum kind what, std::string text) noexcept : kind_(what), text_(std::move(text)) {}
  explicit reply(std::vector<reply> items) noexcept : kind_(kind::array), items_(std::move(items)) {}

  [[nodiscard]] enum kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_nil() const noexcept { return kind_ == kind::nil; }
  [[nodiscard]] bool is_error() const noexcept { return kind_ == kind::error; }
  /// 0 of another kind.
  [[nodiscard]] std::int64_t integer() const noexcept { return integer_; }
  /// Of a string, a status ("OK") and an error ("ERR …"); empty of another kind.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] std::string& text() noexcept { return text_; }
  /// Of an array; empty of another kind.
  [[nodiscard]] const std::vector<reply>& items() const noexcept { return items_; }
  [[nodiscard]] std::vector<reply>& items() noexcept { return items_; }

  friend bool operator==(const reply&, const reply&) = default;

 private:
  enum kind kind_ = kind::nil;
  std::int64_t integer_ = 0;
  std::string text_;
  std::vector<reply> items_;
};

}  // namespace curfew::redis
