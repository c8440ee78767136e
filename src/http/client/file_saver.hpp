#pragma once

#include <cstdint>
#include <curfew/core/error.hpp>
#include <curfew/http/save_file.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// What save_file does besides waiting: the files, and what is asked for.
///
///     open ──► asking ──on_head()──► body ──write()…──► finish()      a failure: what has come stays, or goes
///                ▲          └── the file there is another one: again
///                └──────────────┘
class file_saver {
 public:
  enum class next { body, again, finish };

  static result<file_saver> open(request what, std::string path, save_options options);
  file_saver(file_saver&&) noexcept = default;
  file_saver& operator=(file_saver&&) noexcept = default;
  ~file_saver();

  /// What to send, with a range if there is something to go on from.
  [[nodiscard]] request to_send() const;
  [[nodiscard]] result<next> on_head(const response& head);
  [[nodiscard]] result<> write(std::string_view bytes);
  [[nodiscard]] result<saved_file> finish();

 private:
  file_saver(request what, std::string path, save_options options);

  [[nodiscard]] std::string part() const { return path_ + ".part"; }
  [[nodiscard]] std::string from() const { return path_ + ".part.from"; }
  [[nodiscard]] error failed(std::error_code code, std::string_view doing) const;
  [[nodiscard]] error system_error(std::string_view doing) const;
  [[nodiscard]] std::string version_of(const response& head) const;
  std::string read_version() const;
  result<> begin(const response& head);
  result<next> go_on(const response& head);
  result<> check_size(std::uint64_t size) const;

  request what_;
  std::string path_;
  save_options options_;
  descriptor file_;      // .part, locked
  std::string version_;  // of what is in it: an ETag, or a date; empty: it cannot be gone on from
  std::uint64_t size_ = 0;
  std::uint64_t resumed_at_ = 0;
  std::optional<std::uint64_t> total_;
  bool done_ = false;
};

}  // namespace curfew::http
