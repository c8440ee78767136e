#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <curfew/core/error.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace curfew_dashboard {

namespace json = boost::json;

/// The lines of a panel's stream, NDJSON: progress lines, then one result or one error.
inline constexpr std::string_view panel_content_type = "application/x-ndjson";

/// How far work has come.
struct progress {
  std::optional<double> fraction;  ///< 0 to 1, where it is known.
  std::string text;
  json::object more;  ///< Further fields of the line.
};

/// Why a panel shows an error; `code` is one of those in API.md.
struct failure {
  std::string code;
  std::string message;
};

[[nodiscard]] std::string progress_line(const progress& p);
[[nodiscard]] std::string result_line(json::value data);
[[nodiscard]] std::string error_line(const failure& why);

/// What a line from a service is.
enum class line_kind { progress, result, error };

/// None if the line is not one of the above: it is not to be trusted.
[[nodiscard]] std::optional<line_kind> classify_line(std::string_view line);

/// Cuts a stream of bytes into lines.
class line_splitter {
 public:
  void feed(std::string_view bytes) { buffer_.append(bytes); }
  /// The next line without its end; none if there is no whole one.
  [[nodiscard]] std::optional<std::string> next();
  /// Bytes that do not make a line yet.
  [[nodiscard]] std::size_t pending() const noexcept { return buffer_.size() - begin_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0;  // of what has not been taken
};

}  // namespace curfew_dashboard
