#include <curfew/console/console.hpp>

#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/unseen.hpp>
#include <curfew/http/server.hpp>
#include <optional>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "console/desk.hpp"
#include "console/dump.hpp"

namespace curfew::inspect {

namespace {

http::server_options at(std::string_view address) {
  http::server_options made;
  made.listen(std::string(address)).threads(1).grace(std::chrono::seconds(0));
  made.max_connections(1000).max_body_size(1024);
  return made;
}

}  // namespace

struct console::impl {
  impl(const context& ctx, std::string_view address, const console_options& options)
      : until(with_cancel(options.show_own() ? ctx : with_value(ctx, detail::unseen_tasks, true))),
        server(make_routes(options, prepare(options)), at(address)) {
    if (auto up = server.listen(); !up) throw std::system_error(up.error().code(), up.error().doing());
    thread = std::thread([this] { std::ignore = server.serve(until); });
  }
  impl(const impl&) = delete;
  impl& operator=(const impl&) = delete;
  ~impl() {
    until.cancel();
    if (thread.joinable()) thread.join();
  }

  /// \return the descriptor for dumps; -1: none is wanted.
  int prepare(const console_options& options) {
    return options.dump_on_sigusr1() ? usr1.emplace().get() : -1;
  }

  std::optional<usr1_descriptor> usr1;
  cancel_scope until;
  http::server server;
  std::thread thread;
};

console::console(const context& ctx, std::string_view address, const console_options& options)
    : impl_(std::make_unique<impl>(ctx, address, options)) {}

console::~console() = default;

std::string console::url() const { return impl_->server.url(); }

std::vector<std::string> console::addresses() const { return impl_->server.addresses(); }

}  // namespace curfew::inspect
