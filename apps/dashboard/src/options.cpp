#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <utility>

namespace curfew_dashboard {

namespace {

constexpr unsigned most_jobs = 64;

/// Options in the order in which they come: "--name value" or "--name=value".
class argument_reader {
 public:
  explicit argument_reader(std::span<const char* const> arguments) : rest_(arguments) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }

  /// Takes the next word; what stands after '=' is kept for value().
  std::string_view take_name() {
    std::string_view word = rest_.front();
    rest_ = rest_.subspan(1);
    attached_.reset();
    if (const auto equals = word.find('='); word.starts_with("--") && equals != std::string_view::npos) {
      attached_ = word.substr(equals + 1);
      word = word.substr(0, equals);
    }
    return word;
  }

  /// The value of the option whose name was taken last.
  std::expected<std::string, std::string> value(std::string_view name) {
    std::string_view found;
    if (attached_) {
      found = *std::exchange(attached_, std::nullopt);
    } else if (!rest_.empty()) {
      found = rest_.front();
      rest_ = rest_.subspan(1);
    }
    if (found.empty()) return std::unexpected("option " + std::string(name) + " needs a value");
    return std::string(found);
  }

 private:
  std::span<const char* const> rest_;
  std::optional<std::string_view> attached_;
};

std::unexpected<std::string> unknown(std::string_view word) {
  const std::string what = word.starts_with('-') ? "there is no option " : "what is ";
  return std::unexpected(what + std::string(word) + (word.starts_with('-') ? "" : "?"));
}

/// "host:port"; the server itself says whether the address is one.
std::expected<std::string, std::string> checked_address(std::string value) {
  const auto colon = value.rfind(':');
  const std::string_view port =
      colon == std::string::npos ? std::string_view() : std::string_view(value).substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || colon == 0)
    return std::unexpected("--listen takes ADDRESS:PORT, such as 127.0.0.1:8080, not " + value);
  return value;
}

/// What the URL is of says the rest.
/// \param wanted  Said where it has none of these schemes. It is not repeated: it may hold a password.
std::expected<url_option, std::string> checked_url(std::string_view name, std::string given,
                                                   std::initializer_list<std::string_view> schemes,
                                                   std::string_view wanted) {
  constexpr std::string_view in_environment = "env:";
  url_option made{std::move(given), {}};
  made.url = made.given;
  if (made.given.starts_with(in_environment)) {
    const char* const found = std::getenv(made.given.c_str() + in_environment.size());
    if (found == nullptr) {
      return std::unexpected(std::string(name) + ' ' + made.given +
                             ": there is no such variable in the environment");
    }
    made.url = found;
  }
  for (const std::string_view scheme : schemes) {
    if (made.url.starts_with(scheme)) return made;
  }
  return std::unexpected(std::string(name) + " takes the URL of " + std::string(wanted));
}

std::expected<url_option, std::string> checked_database(std::string_view name, std::string given) {
  return checked_url(name, std::move(given), {"sqlite:", "postgresql://", "postgres://"},
                     "a database: sqlite:PATH or postgresql://USER@HOST/NAME");
}

std::expected<url_option, std::string> checked_redis(std::string_view name, std::string given) {
  return checked_url(name, std::move(given), {"redis://", "redis+sentinel://", "unix://"},
                     "a Redis, such as redis://127.0.0.1:6379/0");
}

std::expected<unsigned, std::string> checked_jobs(const std::string& value) {
  unsigned jobs = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, wrong] = std::from_chars(value.data(), end, jobs);
  if (wrong != std::errc() || stop != end || jobs < 1 || jobs > most_jobs)
    return std::unexpected("--jobs takes a number from 1 to " + std::to_string(most_jobs) + ", not " + value);
  return jobs;
}

std::expected<source_option, std::string> checked_source(const std::string& value) {
  const auto equals = value.find('=');
  source_option made{value.substr(0, equals), equals == std::string::npos ? "" : value.substr(equals + 1)};
  const bool plain = !made.name.empty() && made.name.size() <= 40 &&
                     std::all_of(made.name.begin(), made.name.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                              c == '-' || c == '_' || c == '.';
                     });
  if (!plain) {
    return std::unexpected("--source takes NAME=URL, with a name of letters, digits, '-', '_' and '.', not " +
                           value);
  }
  if (!made.url.starts_with("http://") && !made.url.starts_with("https://")) {
    return std::unexpected("--source " + made.name + ": the URL has to start with http:// or https://");
  }
  return made;
}

std::expected<void, std::string> add_source(front_options& options, const std::string& value) {
  auto source = checked_source(value);
  if (!source) return std::unexpected(std::move(source).error());
  const auto same = [&](const auto& other) { return other.name == source->name; };
  if (std::ranges::find(service_names, source->name) != std::end(service_names) ||
      std::ranges::any_of(options.sources, same)) {
    return std::unexpected("--source " + source->name + ": there is a panel of that name already");
  }
  options.sources.push_back(*std::move(source));
  return {};
}

/// Sets the option in what both kinds of command have. \return whether it is one of these.
template <class Options>
std::expected<bool, std::string> set_common(Options& options, std::string_view name,
                                            argument_reader& arguments) {
  if (name != "--listen" && name != "--root" && name != "--database" && name != "--workers") return false;
  auto value = arguments.value(name);
  if (!value) return std::unexpected(std::move(value).error());
  if (name == "--root") {
    options.roots.push_back(*std::move(value));
    return true;
  }
  if (name == "--database") {
    auto database = checked_database(name, *std::move(value));
    if (!database) return std::unexpected(std::move(database).error());
    options.database = *std::move(database);
    return true;
  }
  if (name == "--workers") {
    auto redis = checked_redis(name, *std::move(value));
    if (!redis) return std::unexpected(std::move(redis).error());
    options.workers = *std::move(redis);
    return true;
  }
  auto address = checked_address(*std::move(value));
  if (!address) return std::unexpected(std::move(address).error());
  options.listen = *std::move(address);
  return true;
}

std::expected<command, std::string> parse_front(argument_reader arguments) {
  front_options options;
  while (!arguments.empty()) {
    const std::string_view name = arguments.take_name();
    auto common = set_common(options, name, arguments);
    if (!common) return std::unexpected(std::move(common).error());
    if (*common) continue;
    if (name != "--source" && name != "--host" && name != "--tls-certificate" && name != "--tls-key")
      return unknown(name);
    auto value = arguments.value(name);
    if (!value) return std::unexpected(std::move(value).error());
    if (name == "--host") {
      options.hosts.push_back(*std::move(value));
    } else if (name == "--tls-certificate") {
      options.tls_certificate = *std::move(value);
    } else if (name == "--tls-key") {
      options.tls_key = *std::move(value);
    } else if (auto added = add_source(options, *value); !added) {
      return std::unexpected(std::move(added).error());
    }
  }
  if (options.tls_certificate.empty() != options.tls_key.empty())
    return std::unexpected("--tls-certificate and --tls-key go together: each is of no use alone");
  if (options.roots.empty()) options.roots.emplace_back(default_root);
  return options;
}

std::expected<command, std::string> parse_service(argument_reader arguments) {
  service_options options;
  if (!arguments.empty()) options.name = arguments.take_name();
  if (std::ranges::find(service_names, options.name) == std::end(service_names)) {
    return std::unexpected("service takes the name of one: vitals, packages or disk");
  }
  while (!arguments.empty()) {
    const std::string_view name = arguments.take_name();
    auto common = set_common(options, name, arguments);
    if (!common) return std::unexpected(std::move(common).error());
    if (*common) continue;
    if (name != "--status" && name != "--proc") return unknown(name);
    auto value = arguments.value(name);
    if (!value) return std::unexpected(std::move(value).error());
    (name == "--status" ? options.status_file : options.proc) = *std::move(value);
  }
  if (options.roots.empty()) options.roots.emplace_back(default_root);
  return options;
}

std::expected<command, std::string> parse_worker(argument_reader arguments) {
  worker_options options;
  while (!arguments.empty()) {
    const std::string_view name = arguments.take_name();
    if (name != "--redis" && name != "--root" && name != "--jobs") return unknown(name);
    auto value = arguments.value(name);
    if (!value) return std::unexpected(std::move(value).error());
    if (name == "--root") {
      options.roots.push_back(*std::move(value));
    } else if (name == "--redis") {
      auto redis = checked_redis(name, *std::move(value));
      if (!redis) return std::unexpected(std::move(redis).error());
      options.redis = *std::move(redis);
    } else {
      const auto jobs = checked_jobs(*value);
      if (!jobs) return std::unexpected(jobs.error());
      options.jobs = *jobs;
    }
  }
  if (options.redis.empty()) return std::unexpected("worker needs --redis URL, where it takes its jobs");
  if (options.roots.empty()) options.roots.emplace_back(default_root);
  return options;
}

}  // namespace

std::expected<command, std::string> parse_options(std::span<const char* const> arguments) {
  for (const std::string_view word : arguments) {
    if (word == "--help" || word == "-h") return show_help{};
    if (word == "--version") return show_version{};
  }
  if (!arguments.empty() && arguments.front() == std::string_view("service")) {
    return parse_service(argument_reader(arguments.subspan(1)));
  }
  if (!arguments.empty() && arguments.front() == std::string_view("worker"))
    return parse_worker(argument_reader(arguments.subspan(1)));
  return parse_front(argument_reader(arguments));
}

std::string_view help_text() {
  return R"(curfew-dashboard: three services on the data of this machine, and a page that shows
what becomes of their requests when nobody waits for them any more.

Usage:
  curfew-dashboard [options]                  the dashboard with its three services
  curfew-dashboard service NAME [options]     one service alone: vitals, packages or disk
  curfew-dashboard worker --redis URL [options]
                                              makes disk reports for dashboards on any machine

Options of the dashboard:
  --listen ADDRESS:PORT   where to listen; port 0 takes a free one (127.0.0.1:8080)
  --tls-certificate FILE  serves https:// with this certificate, and those of the authorities
                          above it, in PEM; SIGHUP has it read again
  --tls-key FILE          its key, in PEM
  --root DIR              a directory for the disk report; may be repeated (/usr)
  --source NAME=URL       shows an HTTP service as one more panel; may be repeated
  --host NAME             a further host name under which the page may be opened
  --database URL          where the packages are kept: sqlite:PATH or postgresql://USER@HOST/NAME,
                          in tables curfew_…, which are replaced (a temporary file)
  --workers URL           has the disk reports made by workers, which take them from this Redis:
                          redis://HOST:PORT/0; --root names directories of the workers' machines
  --help, --version

A URL with a password is given as env:NAME, the variable of the environment that holds it: a
command line is shown to all users of the machine.

Options of a service:
  --listen ADDRESS:PORT   where to listen (127.0.0.1:0)
  --root DIR              disk: as above
  --database URL          packages: as above
  --workers URL           disk: as above
  --status FILE           packages: dpkg's list of packages (/var/lib/dpkg/status)
  --proc DIR              vitals: where the kernel tells of processes (/proc)

Options of a worker:
  --redis URL             where it takes its jobs
  --root DIR              a directory of which it makes reports; may be repeated (/usr)
  --jobs N                reports at a time (1)

Whoever can reach the address can read the reports: it is this machine alone unless
--listen says otherwise. The same holds for the Redis of workers. Ctrl-C stops everything; so does killing the dashboard.

Exit code: 0 after a stop that was asked for, 2 if the options make no sense, else 1.
)";
}

}  // namespace curfew_dashboard
