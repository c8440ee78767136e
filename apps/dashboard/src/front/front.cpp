#include "front/front.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <chrono>
#include <curfew/console/routes.hpp>
#include <curfew/core/cancel_scope.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "assets.hpp"
#include "base/gather.hpp"
#include "base/switch_body.hpp"
#include "base/text.hpp"
#include "front/panel_stream.hpp"
#include "front/service_call.hpp"

namespace curfew_dashboard {

namespace {

using std::chrono::milliseconds;

// Enough for the disk report on a busy machine with cold caches.
constexpr milliseconds default_budget{60'000};
constexpr milliseconds least_budget{100};
constexpr milliseconds most_budget{600'000};
constexpr std::chrono::seconds time_to_switch{3};
constexpr std::chrono::seconds time_to_look{3};
// At a time. A browser opens six connections to one address at most.
constexpr std::size_t most_panels = 32;
constexpr std::size_t most_viewers = 64;

constexpr std::string_view name_of(panel_kind kind) {
  switch (kind) {
    case panel_kind::vitals:
      return "vitals";
    case panel_kind::packages:
      return "packages";
    case panel_kind::disk:
      return "disk";
    case panel_kind::source:
      return "source";
  }
  return {};
}

panel_kind kind_of(std::string_view service) {
  if (service == "vitals") return panel_kind::vitals;
  return service == "packages" ? panel_kind::packages : panel_kind::disk;
}

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

/// None if it is no number, or out of range.
std::optional<milliseconds> parse_budget(const std::optional<std::string>& text) {
  if (!text) return default_budget;
  milliseconds::rep number = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (failed != std::errc() || end != text->data() + text->size()) return std::nullopt;
  const milliseconds budget(number);
  return budget >= least_budget && budget <= most_budget ? std::optional(budget) : std::nullopt;
}

/// The parameters that are for the service.
std::string query_for(const panel& whom, const http::request& request) {
  const char* name = whom.kind == panel_kind::packages ? "q"
                     : whom.kind == panel_kind::disk   ? "root"
                                                       : nullptr;
  const auto value = name != nullptr ? request.query(name) : std::nullopt;
  return value ? std::string("?") + name + '=' + percent_encode(*value) : std::string();
}

void add_security_fields(http::response& response) {
  response.set("Content-Security-Policy",
               "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  response.set("X-Content-Type-Options", "nosniff");
  response.set("Referrer-Policy", "no-referrer");
  response.set("Cross-Origin-Resource-Policy", "same-origin");
}

asio::awaitable<http::response> with_security_fields(http::handler inner, curfew::context ctx,
                                                     const http::request& request) {
  http::response made = co_await inner(std::move(ctx), request);
  add_security_fields(made);
  co_return made;
}

/// The answer where all places are taken.
http::response come_again(std::string_view what, const places& taken) {
  http::response made = error_response(http::status::service_unavailable,
                                       "There are " + std::to_string(taken.most()) + ' ' + std::string(what) +
                                           " at work already, which is the most; try again in a moment.");
  made.set("Retry-After", "1");
  return made;
}

/// That of the front shows its services too. The front's gate lets in the same names.
curfew::inspect::console_options console_for(const front_options& options,
                                             const std::vector<std::shared_ptr<service_process>>& services) {
  curfew::inspect::console_options made;
  for (const std::string& name : options.hosts) made.allow_host(name);
  for (const auto& service : services) {
    const auto where = [service] {
      const auto url = service->where();
      return url ? *url + "/debug/curfew" : std::string();
    };
    made.peer(service->name(), where, "Bearer " + service->token());
  }
  return made;
}

http::response json_response(const json::object& body) {
  http::response made = http::json(http::status::ok, json::serialize(body) + '\n');
  made.set("Cache-Control", "no-store");
  return made;
}

}  // namespace

front::front(asio::any_io_executor executor, const front_options& options,
             const std::vector<std::shared_ptr<service_process>>& services, request_log& log)
    : roots_(options.roots),
      console_(curfew::inspect::routes(console_for(options, services))),
      parts_{&log,
             // A redirect could lead to any server, also to one on this machine and to the front itself.
             std::make_shared<http::client>(http::client_options().max_redirects(0)), services,
             options.workers.empty() ? nullptr
                                     : std::make_shared<worker_watch>(options.workers.url, log.changes())},
      view_(std::make_shared<request_view>(std::move(executor), parts_)),
      feed_(view_->changes(), "requests", [view = view_] { return view->look(); }),
      panel_places_(most_panels),
      viewer_places_(most_viewers) {
  for (const auto& service : services) {
    panels_.push_back({service->name(), capitalized(service->name()), kind_of(service->name()), service, {}});
  }
  for (const source_option& source : options.sources) {
    panels_.push_back({source.name, source.name, panel_kind::source, nullptr, source.url});
  }
}

http::handler front::secured(http::handler inner) const {
  const gatekeeper gate = [this](const http::request& request) -> std::optional<refusal> {
    if (access_) return (*access_)(request);
    return refusal{http::status::service_unavailable, "The dashboard is starting."};
  };
  return [gated = guarded(gate, std::move(inner))](curfew::context ctx, const http::request& request) {
    return with_security_fields(gated, std::move(ctx), request);
  };
}

http::router front::routes() {
  const auto own = [this](auto member) {
    return [this, member](curfew::context ctx, const http::request& request) {
      return (this->*member)(std::move(ctx), request);
    };
  };
  http::router made;
  made.around([this](http::handler inner) { return secured(std::move(inner)); });
  made.get("/api/config", own(&front::config));
  made.get("/api/panels/{name}", own(&front::show_panel));
  made.get("/api/requests", own(&front::requests));
  made.get("/api/requests/events", own(&front::events), http::route_options().no_time_limit());
  made.get("/api/requests/{service}/{id}/stack", own(&front::stack));
  made.post("/api/ignore", own(&front::ignore));
  made.mount("/debug/curfew", console_);
  std::vector<http::static_file> files;
  for (const asset& file : assets()) files.push_back({file.path, file.content_type, file.content});
  made.files("/", files);
  return made;
}

asio::awaitable<http::response> front::config(curfew::context /*ctx*/, const http::request& /*request*/) {
  json::array panels;
  for (const panel& p : panels_) {
    json::object shown;
    shown["name"] = p.name;
    shown["title"] = p.title;
    shown["kind"] = name_of(p.kind);
    shown["streaming"] = p.streaming();
    if (p.kind == panel_kind::source) shown["url"] = to_utf8(p.url).text;
    if (p.kind == panel_kind::disk) {
      json::array roots;
      for (const std::string& root : roots_) roots.emplace_back(to_utf8(root).text);
      shown["roots"] = std::move(roots);
    }
    panels.push_back(std::move(shown));
  }
  json::object body;
  body["version"] = version;
  body["default_budget_ms"] = default_budget.count();
  body["min_budget_ms"] = least_budget.count();
  body["max_budget_ms"] = most_budget.count();
  body["panels"] = std::move(panels);
  co_return json_response(body);
}

asio::awaitable<http::response> front::show_panel(curfew::context ctx, const http::request& request) {
  const auto found = std::find_if(panels_.begin(), panels_.end(),
                                  [&](const panel& p) { return p.name == request.param("name"); });
  if (found == panels_.end()) co_return error_response(http::status::not_found, "There is no such panel.");
  const auto budget = parse_budget(request.query("budget_ms"));
  if (!budget) {
    co_return error_response(
        http::status::bad_request,
        "budget_ms has to be a number from 100 to 600000: the time budget in milliseconds.");
  }
  auto place = panel_places_.try_take();
  if (!place) co_return come_again("panels", panel_places_);
  request_facts facts;
  facts.target = request.target();
  auto stream = std::make_shared<panel_stream>(ctx, *parts_.front, facts, *parts_.client, *found,
                                               query_for(*found, request), *budget);
  http::body_source source = [stream, place](curfew::context c, http::body_writer out) {
    return stream->async_run(std::move(c), out);
  };
  http::response made = http::stream(panel_content_type, std::move(source));
  made.set("Request-Id", stream->id());
  made.set("Cache-Control", "no-store");
  co_return made;
}

asio::awaitable<http::response> front::requests(curfew::context ctx, const http::request& /*request*/) {
  json::object merged = co_await view_->async_ask(std::move(ctx));
  co_return json_response(merged);
}

asio::awaitable<http::response> front::events(curfew::context /*ctx*/, const http::request& /*request*/) {
  auto place = viewer_places_.try_take();
  if (!place) co_return come_again("event streams", viewer_places_);
  auto viewer = std::make_shared<request_view::viewer>(view_);
  http::body_source source = [this, place, viewer](curfew::context ctx, http::body_writer out) {
    return feed_.async_stream(std::move(ctx), out);
  };
  co_return http::events(std::move(source));
}

/// The stacks of the threads that work for a request of a service, as its console tells them.
asio::awaitable<http::response> front::stack(curfew::context ctx, const http::request& request) {
  const auto found = std::ranges::find_if(
      parts_.services, [&](const auto& service) { return service->name() == request.param("service"); });
  if (found == parts_.services.end())
    co_return error_response(http::status::not_found, "There is no such service.");
  auto scope = curfew::with_timeout(ctx, time_to_look);
  const std::string path = "/debug/curfew/tasks/" + percent_encode(request.param("id")) + "/stack";
  auto call = co_await make_call(scope.ctx(), *found, "GET", path);
  if (!call) co_return error_response(http::status::service_unavailable, call.error());
  auto answer = co_await parts_.client->async_send(scope.ctx(), *std::move(call));
  if (!answer) co_return error_response(http::status::service_unavailable, answer.error().message());
  if (answer->status() == http::status::not_found)
    co_return error_response(http::status::not_found, "The work is over.");
  const auto stacks = parse_object(answer->body());
  if (answer->status() != http::status::ok || !stacks) {
    co_return error_response(
        http::status::service_unavailable,
        "The " + (*found)->name() + " service answered with " + answer->status_line() + '.');
  }
  co_return json_response(*stacks);
}

asio::awaitable<json::object> front::ignore_one(curfew::context ctx, std::shared_ptr<service_process> service,
                                                std::string body) {
  auto answer =
      co_await async_call(std::move(ctx), parts_.client, service, "POST", "/ignore", std::move(body));
  json::object shown;
  shown["service"] = service->name();
  if (answer) {
    shown["ignoring"] = answer->contains("ignoring") && answer->at("ignoring") == json::value(true);
  } else {
    set_text(shown, "error", answer.error());
  }
  co_return shown;
}

asio::awaitable<http::response> front::ignore(curfew::context ctx, const http::request& request) {
  const auto on = read_switch(request);
  if (!on) co_return error_response(on.error().status, on.error().message);
  auto scope = curfew::with_timeout(ctx, time_to_switch);
  const std::string body = *on ? R"({"on": true})" : R"({"on": false})";
  std::vector<asio::awaitable<json::object>> parts;
  parts.reserve(parts_.services.size());
  for (const auto& service : parts_.services) parts.push_back(ignore_one(scope.ctx(), service, body));
  auto states = co_await gather(scope.ctx(), std::move(parts));
  bool ignoring = false;
  json::array shown;
  for (json::object& state : states) {
    ignoring = ignoring || (state.contains("ignoring") && state.at("ignoring") == json::value(true));
    shown.push_back(std::move(state));
  }
  json::object answer;
  answer["ignoring"] = ignoring;
  answer["services"] = std::move(shown);
  co_return json_response(answer);
}

}  // namespace curfew_dashboard
