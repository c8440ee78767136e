#include "services/service.hpp"

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>
#include <curfew/console/routes.hpp>
#include <curfew/io/offload.hpp>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "base/mailbox.hpp"
#include "base/switch_body.hpp"
#include "base/text.hpp"
#include "base/thread_priority.hpp"

namespace curfew_dashboard {

namespace asio = boost::asio;

namespace {

using outcome = std::expected<json::value, failure>;

/// What became of work on the pool.
outcome settle(const std::exception_ptr& thrown, curfew::result<outcome> got, const curfew::context& ctx) {
  if (thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      return std::unexpected(failure{"internal", to_utf8(e.what()).text});
    }
  }
  if (!got) return std::unexpected(ended_failure(ctx));
  return *std::move(got);
}

/// The work as a job for the pool: a request of the log from when a thread takes it. It is told to stop when its asker
/// leaves, whatever context the work obeys.
std::function<outcome(const curfew::context&)> logged(request_log& log, curfew::context asker,
                                                      request_facts facts, heavy_work work,
                                                      report_progress tell) {
  return [&log, asker = std::move(asker), facts = std::move(facts), work = std::move(work),
          tell = std::move(tell)](const curfew::context& ctx) {
    become_background_thread();
    request_log::entry shown(log, asker, facts, work.where);
    outcome got = work.run(ctx, tell);
    if (got) shown.succeeded();
    return got;
  };
}

http::response whole_response(const outcome& got) {
  if (!got) return error_response(http::status::service_unavailable, got.error().message);
  return http::json(http::status::ok, json::serialize(*got) + '\n');
}

}  // namespace

std::string parent_of(const http::request& request) {
  const auto id = request.fields().find("Request-Id");
  if (!id || id->size() > 64) return {};
  const bool plain = std::all_of(id->begin(), id->end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  return plain ? std::string(*id) : std::string();
}

failure ended_failure(const curfew::context& ctx) {
  if (ctx.err() == curfew::errc::deadline_exceeded)
    return {"deadline_exceeded", "The time that the request had is used up."};
  return {"canceled", "The request was ended: " + ctx.cause().message() + "."};
}

service::service(std::string name, answer kind, work_planner plan, request_log& log, std::string token)
    : name_(std::move(name)),
      kind_(kind),
      plan_(std::move(plan)),
      access_(std::move(token)),
      log_(log),
      feed_(log_.changes(), "requests", [this] { return look(16); }) {}

http::router service::routes() {
  const auto add = [this](auto member) {
    return [this, member](curfew::context ctx, const http::request& request) {
      return (this->*member)(std::move(ctx), request);
    };
  };
  http::router made;
  made.around([gate = access_](http::handler inner) { return guarded(gate, std::move(inner)); });
  made.get("/report", add(&service::report));
  made.get("/requests", add(&service::list));
  made.get("/requests/events", add(&service::events), http::route_options().no_time_limit());
  made.post("/ignore", add(&service::change_switch));
  made.mount("/debug/curfew", curfew::inspect::routes());
  return made;
}

asio::awaitable<http::response> service::list(curfew::context /*ctx*/, const http::request& /*request*/) {
  co_return http::json(http::status::ok, look(512).json + '\n');
}

asio::awaitable<http::response> service::events(curfew::context /*ctx*/, const http::request& /*request*/) {
  http::body_source source = [this](curfew::context ctx, http::body_writer out) {
    return feed_.async_stream(std::move(ctx), out);
  };
  co_return http::events(std::move(source));
}

live_view service::look(std::size_t recent) const {
  json::object snapshot = log_.snapshot(recent);
  snapshot["ignoring"] = ignore_.on();
  live_view made;
  made.moving = !snapshot.at("requests").as_array().empty();
  made.json = json::serialize(snapshot);
  return made;
}

asio::awaitable<http::response> service::change_switch(curfew::context /*ctx*/,
                                                       const http::request& request) {
  const auto on = read_switch(request);
  if (!on) co_return error_response(on.error().status, on.error().message);
  ignore_.set(*on);
  log_.changes().notify();
  json::object state;
  state["service"] = name_;
  state["ignoring"] = ignore_.on();
  co_return http::json(http::status::ok, json::serialize(state) + '\n');
}

asio::awaitable<http::response> service::report(curfew::context ctx, const http::request& request) {
  auto planned = plan_(request);
  if (!planned) co_return error_response(planned.error().status, planned.error().message);
  request_facts facts;
  facts.parent = parent_of(request);
  facts.target = request.target();
  if (kind_ == answer::whole)
    co_return co_await answer_whole(std::move(ctx), std::move(facts), *std::move(planned));
  http::body_source source = [this, facts = std::move(facts), work = *std::move(planned)](
                                 curfew::context c, http::body_writer out) {
    return answer_streamed(std::move(c), out, facts, work);
  };
  co_return http::stream(panel_content_type, std::move(source));
}

asio::awaitable<http::response> service::answer_whole(curfew::context ctx, request_facts facts,
                                                      heavy_work work) {
  const auto life = ignore_.begin(ctx);
  auto job = logged(log_, ctx, std::move(facts), std::move(work), [](const progress&) {});
  outcome got = std::unexpected(failure{});
  std::exception_ptr thrown;
  try {
    auto came = co_await curfew::async_offload(life->ctx(), std::move(job));
    got = settle(nullptr, std::move(came), life->ctx());
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown) got = settle(thrown, std::move(got), life->ctx());
  co_return whole_response(got);
}

asio::awaitable<void> service::answer_streamed(curfew::context ctx, http::body_writer out,
                                               request_facts facts, heavy_work work) {
  const auto life = ignore_.begin(ctx);
  auto executor = co_await asio::this_coro::executor;
  // The worker and the callback share these with this coroutine, which outlives both: it waits until the box
  // is closed.
  auto box = std::make_shared<mailbox<std::string>>();
  auto got = std::make_shared<outcome>(std::unexpected(failure{}));
  auto job = logged(log_, ctx, std::move(facts), std::move(work),
                    [box](const progress& p) { box->put(progress_line(p)); });
  auto home = [box, got, working = life->ctx()](const std::exception_ptr& thrown,
                                                curfew::result<outcome> came) {
    *got = settle(thrown, std::move(came), working);
    box->close();
  };
  curfew::async_offload(life->ctx(), std::move(job), asio::bind_executor(executor, std::move(home)));

  // The work obeys a context of its own, and this coroutine waits until it has ended.
  const curfew::context beyond = curfew::without_cancel(ctx);
  bool heard = true;
  for (;;) {
    auto line = co_await box->async_take(beyond);
    if (!line || !*line) break;
    if (heard) heard = (co_await out.async_write(ctx, **std::move(line))).has_value();
  }
  if (!heard || ctx.err()) co_return;
  std::string last = got->has_value() ? result_line(*std::move(*got)) : error_line(got->error());
  std::ignore = co_await out.async_write(ctx, std::move(last));
}

}  // namespace curfew_dashboard
