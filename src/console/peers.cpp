#include "console/peers.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/message.hpp>
#include <expected>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "console/access.hpp"
#include "console/choice.hpp"

namespace curfew::inspect {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds patience{10};
constexpr std::size_t most_of_answer = 16 * std::size_t{1024} * 1024;  // 500 tasks take 1 MiB at most
constexpr std::array<std::string_view, 9> paths{"/tasks",  "/tasks/{id}", "/tasks/{id}/stack",
                                                "/ended",  "/places",     "/zombies",
                                                "/totals", "/history",    "/look"};

/// What all requests to peers share.
struct switchboard {
  explicit switchboard(std::vector<console_peer> all) : peers(std::move(all)) {}

  const std::vector<console_peer> peers;
  http::client client{http::client_options().max_body_size(most_of_answer)};

  [[nodiscard]] const console_peer* find(std::string_view name) const {
    const auto found = std::ranges::find(peers, name, &console_peer::name);
    return found == peers.end() ? nullptr : &*found;
  }
};

using switchboard_ptr = std::shared_ptr<switchboard>;

bool is_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && std::ranges::all_of(name, fits);
}

http::response away(const console_peer& peer, const std::string& why) {
  return refuse(http::status::bad_gateway, "the process " + peer.name + " does not answer: " + why);
}

asio::awaitable<http::response> answer_later(http::response made) { co_return made; }

asio::awaitable<http::response> ask(switchboard_ptr at, const console_peer* peer, http::request what,
                                    context ctx) {
  const auto scope = with_timeout(ctx, patience);
  auto got = co_await at->client.async_send(scope, std::move(what));
  if (!got) co_return away(*peer, got.error().message());
  const std::string type(got->fields().find("Content-Type").value_or("application/octet-stream"));
  co_return http::response(got->status(), type, got->body());
}

/// What a request for one of a peer's own `path` is to it; or why there is none.
std::expected<http::request, http::response> translate(const console_peer& peer, std::string path,
                                                       const http::request& from) {
  if (const auto at = path.find("{id}"); at != std::string::npos) {
    const std::string id(from.param("id"));
    if (!parse_id(id)) return std::unexpected(refuse(http::status::not_found, "that is no id of a task"));
    path.replace(at, 4, id);
  }
  std::string to = peer.where();
  while (to.ends_with('/')) to.pop_back();
  if (to.empty()) return std::unexpected(away(peer, "it is not running"));
  const auto query = from.target().find('?');
  if (query != std::string::npos) path += from.target().substr(query);
  http::request what(from.method(), to + path);
  if (!peer.authorization.empty()) {
    what.fields().set("Authorization", peer.authorization);
  } else if (const auto own = from.fields().find("Authorization")) {
    what.fields().set("Authorization", *own);
  }
  if (from.method() == "POST") what.body(from.body());
  return what;
}

http::handler handle(const switchboard_ptr& at, std::string path) {
  return [at, path = std::move(path)](context ctx, const http::request& request) {
    const console_peer* peer = at->find(request.param("peer"));
    if (peer == nullptr) return answer_later(refuse(http::status::not_found, "there is no such process"));
    auto what = translate(*peer, path, request);
    if (!what) return answer_later(std::move(what).error());
    return ask(at, peer, *std::move(what), std::move(ctx));
  };
}

}  // namespace

void add_peers(http::router& to, const std::vector<console_peer>& peers, http::route_options how) {
  if (peers.empty()) return;
  for (const auto& peer : peers) {
    if (!is_name(peer.name)) {
      throw std::invalid_argument("console_options::peer: \"" + peer.name +
                                  "\" is no name: letters, digits, - and _ make one");
    }
    if (std::ranges::count(peers, peer.name, &console_peer::name) != 1)
      throw std::invalid_argument("console_options::peer: \"" + peer.name + "\" is there twice");
  }
  const auto at = std::make_shared<switchboard>(peers);
  for (const std::string_view path : paths)
    to.get("/peers/{peer}" + std::string(path), handle(at, std::string(path)), how);
  to.post("/peers/{peer}/tasks/{id}/cancel", handle(at, "/tasks/{id}/cancel"), how);
}

void write_names(json_writer& to, const std::vector<console_peer>& peers) {
  to.begin_array();
  for (const auto& peer : peers) {
    to.begin_object();
    to.key("name").text(peer.name);
    to.end_object();
  }
  to.end_array();
}

}  // namespace curfew::inspect
