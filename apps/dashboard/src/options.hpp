#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace curfew_dashboard {

/// A foreign HTTP service, shown as one more panel.
struct source_option {
  std::string name;
  std::string url;
};

/// A URL that may hold a password. As env:NAME it stands in the environment: a command line is shown to all users of the
/// machine.
struct url_option {
  std::string given;
  std::string url;

  [[nodiscard]] bool empty() const noexcept { return url.empty(); }
};

/// `curfew-dashboard [options]`
struct front_options {
  std::string listen = "127.0.0.1:8080";
  std::string tls_certificate;     ///< File in PEM; empty, as tls_key is then: http://.
  std::string tls_key;             ///< The same.
  std::vector<std::string> roots;  ///< Not empty.
  std::vector<source_option> sources;
  std::vector<std::string> hosts;
  url_option database;  ///< As in service_options.
  url_option workers;   ///< As in service_options.
};

/// `curfew-dashboard service NAME [options]`
struct service_options {
  std::string name;  ///< One of service_names.
  std::string listen = "127.0.0.1:0";
  std::vector<std::string> roots;  ///< Not empty.
  std::string status_file = "/var/lib/dpkg/status";
  std::string proc = "/proc";
  url_option database;  ///< Of the packages; empty: a file of the service's own.
  url_option workers;   ///< Of the Redis where workers take the disk reports; empty: the service makes them.
};

/// `curfew-dashboard worker [options]`
struct worker_options {
  url_option redis;                ///< Not empty.
  std::vector<std::string> roots;  ///< Not empty.
  unsigned jobs = 1;               ///< At a time.
};

struct show_help {};
struct show_version {};

using command = std::variant<front_options, service_options, worker_options, show_help, show_version>;

inline constexpr std::string_view service_names[] = {"vitals", "packages",
                                                     "disk"};  // NOLINT(modernize-avoid-c-arrays)
inline constexpr std::string_view default_root = "/usr";
inline constexpr std::string_view version = "0.1.0";

/// \param arguments  Without the program's name.
/// Errors: a text that says what is wrong, in one line.
[[nodiscard]] std::expected<command, std::string> parse_options(std::span<const char* const> arguments);

/// What `--help` prints.
[[nodiscard]] std::string_view help_text();

}  // namespace curfew_dashboard
