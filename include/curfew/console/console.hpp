#pragma once

#include <curfew/console/routes.hpp>
#include <curfew/core/context.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::inspect {

/// Shows the tasks of the process to a browser, to programs and to Prometheus, on threads of its own: it answers when all
/// others hang. There is something to see while an `inspection` lives.
///
///     const curfew::inspect::inspection on;
///     const curfew::inspect::console console(ctx, "127.0.0.1:6060");
///     std::cerr << console.url() << '\n';
///
/// Everything that connects sees all tasks, so the address should be one of this machine, or a Unix socket that only
/// operators may open. Its answers are the same as those of `routes()`.
class console {
 public:
  /// \param ctx      Its end ends the console.
  /// \param address  As for http::server_options::listen: "127.0.0.1:6060", "unix:/run/shop/console.sock".
  /// Throws: std::system_error if the address cannot be had, no thread can be started, or SIGUSR1 is another console's.
  console(const context& ctx, std::string_view address, const console_options& options = {});
  console(const console&) = delete;
  console& operator=(const console&) = delete;
  /// Ends its requests, and waits for that.
  ~console();

  /// "http://127.0.0.1:6060"; empty for a Unix socket.
  [[nodiscard]] std::string url() const;
  /// Where it listens: "127.0.0.1:6060".
  [[nodiscard]] std::vector<std::string> addresses() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace curfew::inspect
