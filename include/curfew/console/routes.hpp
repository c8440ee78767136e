#pragma once

#include <curfew/http/router.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace curfew::inspect {

/// Another process, whose console is asked.
struct console_peer {
  std::string name;
  std::function<std::string()> where;
  std::string authorization;
};

/// What a console shows, and to whom. Each setter returns the options, so they can be chained; the overload without an
/// argument reads the option.
class console_options {
 public:
  /// Gets a line of text. Called from any thread; must not throw.
  using line_sink = std::function<void(std::string_view line)>;

  /// Allows requests with this token, as `Authorization: Bearer <token>`, to end tasks. Default: empty, nobody may.
  console_options& cancel_token(std::string token) { return cancel_token_ = std::move(token), *this; }
  [[nodiscard]] const std::string& cancel_token() const noexcept { return cancel_token_; }
  /// A host name by which the console may be called, beside `localhost` and addresses in digits. Requests for another
  /// one are refused: a page from elsewhere could have given that name this address (DNS rebinding).
  console_options& allow_host(std::string name) { return hosts_.push_back(std::move(name)), *this; }
  [[nodiscard]] const std::vector<std::string>& hosts() const noexcept { return hosts_; }
  /// Gets a line for each task that was ended by hand. Default: empty, which writes it to standard error.
  console_options& on_log(line_sink f) { return on_log_ = std::move(f), *this; }
  [[nodiscard]] const line_sink& on_log() const noexcept { return on_log_; }
  /// Shows the requests to the console itself among the other tasks. Default: no.
  console_options& show_own(bool yes) { return show_own_ = yes, *this; }
  [[nodiscard]] bool show_own() const noexcept { return show_own_; }
  /// Writes the open tasks to standard error, the most urgent first, when SIGUSR1 comes; of a `console` alone, one at a
  /// time in a process. Default: no.
  console_options& dump_on_sigusr1(bool yes) { return dump_on_sigusr1_ = yes, *this; }
  [[nodiscard]] bool dump_on_sigusr1() const noexcept { return dump_on_sigusr1_; }
  /// Shows the tasks of another process beside those of this one: a request that goes through both is one tree. Its console
  /// is asked while the page is open, and its answers are passed on: what reaches this console sees them too.
  /// \param name           Of letters, digits, - and _: "disk".
  /// \param url            Of its console, or of where its `routes` are mounted: "http://10.0.0.7:6060". It must not throw, where
  ///                       it is a function, which any thread may call; empty: the process is away.
  /// \param authorization  Sent with each request, where something guards the other console: "Bearer …". Default: none. Then
  ///                       what the viewer has entered is sent on, to end a task there by its own token.
  console_options& peer(std::string name, std::string url, std::string authorization = {}) {
    return peer(std::move(name), [at = std::move(url)] { return at; }, std::move(authorization));
  }
  console_options& peer(std::string name, std::function<std::string()> url, std::string authorization = {}) {
    peers_.push_back({std::move(name), std::move(url), std::move(authorization)});
    return *this;
  }
  [[nodiscard]] const std::vector<console_peer>& peers() const noexcept { return peers_; }

 private:
  std::vector<console_peer> peers_;
  std::string cancel_token_;
  std::vector<std::string> hosts_;
  line_sink on_log_;
  bool show_own_ = false;
  bool dump_on_sigusr1_ = false;
};

/// The console inside a server of yours:
///
///     http::router routes;
///     routes.mount("/debug/curfew", curfew::inspect::routes());
///
/// Every client that reaches them sees the names and places of all tasks: mount them where only operators come, or behind a wrapper
/// of yours. `docs/guide/inspect.md` says what each path answers. A thread samples the totals once a second, as long as the
/// router or a copy lives.
///
/// Throws: std::bad_alloc; std::system_error where no thread can be started; std::invalid_argument for the name of a peer.
[[nodiscard]] http::router routes(const console_options& options = {});

}  // namespace curfew::inspect
