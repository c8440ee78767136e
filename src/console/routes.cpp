#include <curfew/console/routes.hpp>

#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/http/message.hpp>
#include <curfew/inspect/stack.hpp>
#include <curfew/inspect/tasks.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/sync/channel.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "assets.hpp"
#include "console/access.hpp"
#include "console/choice.hpp"
#include "console/describe.hpp"
#include "console/desk.hpp"
#include "console/dump.hpp"
#include "console/json.hpp"
#include "console/looker.hpp"
#include "console/metrics.hpp"
#include "console/peers.hpp"

namespace curfew::inspect {

namespace asio = boost::asio;

namespace {

constexpr std::size_t most_children = 200;
constexpr std::size_t most_ended = 1000;
constexpr std::size_t most_reason = 200;
constexpr std::size_t piece_size = 64 * std::size_t{1024};

/// What the handlers share. Their work runs on threads of its own: those of the process may all hang.
struct desk {
  explicit desk(console_options how, int dump_signal)
      : options(std::move(how)),
        token("Bearer " + options.cancel_token()),
        watcher(dump_signal) {}

  const console_options options;
  const std::string token;
  looker watcher;
  thread_pool lookups{2};
  thread_pool dumps{2};  // each is as slow as its reader
};

using desk_ptr = std::shared_ptr<desk>;
using look = http::response (*)(desk& at, const http::request& request);

/// The answer is an object with the time of looking, and whatever `fill` adds.
template <class F>
http::response answer(F fill) {
  std::string body;
  json_writer to(body);
  to.begin_object();
  to.key("now_ns").point(clock::now());
  fill(to);
  to.end_object();
  body += '\n';
  return http::json(http::status::ok, std::move(body));
}

template <class Range>
void write_list(json_writer& to, std::string_view name, const Range& list) {
  to.key(name).begin_array();
  for (const auto& each : list) write(to, each);
  to.end_array();
}

choice::query query_of(const http::request& request) {
  return [&request](std::string_view name) { return request.query(name); };
}

http::response no_such_task() { return refuse(http::status::not_found, "there is no such task, or no more"); }

// ---- what is asked for ----

http::response some_tasks(desk& /*at*/, const http::request& request) {
  const auto which = choice::from(query_of(request));
  if (!which) return refuse(http::status::bad_request, which.error());
  return answer([&](json_writer& to) {
    chosen all = choose(*which);
    std::ranges::move(all.above, std::back_inserter(all.tasks));
    write_list(to, "tasks", all.tasks);
    to.key("seen").number(all.seen);
    to.key("matching").number(all.matching);
  });
}

http::response one_task(desk& /*at*/, const http::request& request) {
  const auto id = parse_id(request.param("id"));
  const auto task = id ? find_task(*id) : std::nullopt;
  if (!task) return no_such_task();
  std::vector<task_info> above;
  for (auto up = task->parent; up != 0 && above.size() < most_children;) {
    auto found = find_task(up);
    if (!found) break;
    up = found->parent;
    above.push_back(*std::move(found));
  }
  std::vector<task_info> below;
  std::size_t below_count = 0;
  each_task([&](task_info&& other) {
    if (other.parent == *id && ++below_count <= most_children) below.push_back(std::move(other));
    return true;
  });
  std::ranges::sort(below, more_urgent);
  return answer([&](json_writer& to) {
    write(to.key("task"), *task);
    write_list(to, "above", above);
    write_list(to, "below", below);
    to.key("below_count").number(below_count);
  });
}

http::response stacks(desk& /*at*/, const http::request& request) {
  const auto id = parse_id(request.param("id"));
  const auto found = id ? stacks_of(*id) : std::nullopt;
  if (!found) return no_such_task();
  return answer([&](json_writer& to) { write_list(to, "threads", *found); });
}

http::response all_zombies(desk& /*at*/, const http::request& /*request*/) {
  return answer([](json_writer& to) { write_list(to, "zombies", zombies()); });
}

http::response ended(desk& /*at*/, const http::request& request) {
  const auto asked = parse_number<std::size_t>(request.query("most").value_or("100"));
  if (!asked || *asked > most_ended) return refuse(http::status::bad_request, "most is a number up to 1000");
  const std::size_t most = *asked;
  const auto by = request.query("by").value_or("last");
  std::vector<ended_task> list;
  if (by == "last") {
    list = last_ended(most);
  } else if (by == "slowest") {
    list = slowest(most);
  } else if (by == "dying") {
    list = longest_dying(most);
  } else {
    return refuse(http::status::bad_request, "by is one of last, slowest, dying");
  }
  return answer([&](json_writer& to) { write_list(to, "ended", list); });
}

http::response all_places(desk& /*at*/, const http::request& /*request*/) {
  return answer([](json_writer& to) { write_list(to, "places", places()); });
}

http::response all_totals(desk& /*at*/, const http::request& /*request*/) {
  return answer([](json_writer& to) { write(to.key("totals"), count()); });
}

http::response history(desk& at, const http::request& /*request*/) {
  return answer([&](json_writer& to) {
    to.key("every_ms").milliseconds(looker::sampling);
    at.watcher.write_history(to.key("samples"));
  });
}

http::response about(desk& at, const http::request& /*request*/) {
  return answer([&](json_writer& to) {
    to.key("pid").signed_number(::getpid());
    to.key("program").text(program_invocation_short_name);
    to.key("can_cancel").boolean(!at.options.cancel_token().empty());
    write_names(to.key("peers"), at.options.peers());
  });
}

http::response one_look(desk& /*at*/, const http::request& /*request*/) {
  return http::json(http::status::ok, make_look());
}

http::response all_metrics(desk& /*at*/, const http::request& /*request*/) {
  return {http::status::ok, "text/plain; version=0.0.4; charset=utf-8", metrics(count())};
}

void log(const desk& at, std::string_view line) {
  if (at.options.on_log()) {
    at.options.on_log()(line);
  } else {
    write_error(line);
  }
}

http::response cancel_one(desk& at, const http::request& request) {
  if (at.options.cancel_token().empty()) {
    return refuse(http::status::forbidden, "not enabled; console_options::cancel_token does that");
  }
  if (!same_secret(request.fields().find("Authorization").value_or(""), at.token)) {
    return refuse(http::status::unauthorized, "the token is missing or wrong")
        .set("WWW-Authenticate", "Bearer");
  }
  std::string reason = spelled(request.body());
  if (reason.empty() || reason.size() > most_reason) {
    return refuse(http::status::bad_request, "the body is the reason, in up to 200 bytes");
  }
  const auto id = parse_id(request.param("id"));
  const auto task = id ? find_task(*id) : std::nullopt;
  if (!task) return no_such_task();
  if (!cancel(*id, reason)) {
    return refuse(http::status::conflict, "its context cannot end, or has ended");
  }
  log(at, "task " + hex_id(*id) + " \"" + spelled(task->name) + "\" ended by hand from " + request.remote() +
              ": " + reason);
  return http::json(http::status::ok, "{\"canceled\":true}\n");
}

// ---- how it is done ----

asio::awaitable<http::response> on_thread(desk_ptr at, look f, context ctx, const http::request* request) {
  const auto work = [f, to = at.get(), request](const context& /*ctx*/) { return f(*to, *request); };
  auto made = co_await async_offload(at->lookups, std::move(ctx), work);
  if (!made) co_return refuse(http::status::service_unavailable, made.error().message());
  co_return *std::move(made);
}

http::handler handle(const desk_ptr& at, look f) {
  return [at, f](context ctx, const http::request& request) {
    return on_thread(at, f, std::move(ctx), &request);
  };
}

/// A dump on its way: a thread looks at one task after another, and waits where the reader is slow.
struct dump_pipe {
  dump_pipe(const context& ctx, choice asked) : scope(with_cancel(ctx)), which(std::move(asked)) {}

  void fill() noexcept {
    try {
      run();
      complete = true;
    } catch (const std::exception& thrown) {
      write_error(thrown.what());
    }
    pieces.close();
  }

  cancel_scope scope;
  const choice which;
  channel<std::string> pieces{2};
  bool complete = false;  // written before the pieces are closed

 private:
  void run() {
    const auto now = clock::now();
    std::string piece;
    std::size_t seen = 0;
    std::size_t matching = 0;
    bool wanted = true;
    json_writer to(piece);
    to.begin_object();
    to.key("now_ns").point(now);
    to.key("tasks").begin_array();
    each_task([&](task_info&& task) {
      ++seen;
      if (!which.matches(task, now)) return !scope.err();
      ++matching;
      write(to, task);
      if (piece.size() >= piece_size) wanted = hand_over(piece);
      return wanted;
    });
    if (!wanted) return;
    to.end_array();
    to.key("seen").number(seen);
    to.key("matching").number(matching);
    to.end_object();
    piece += '\n';
    hand_over(piece);
  }

  bool hand_over(std::string& piece) {
    std::string full;
    full.swap(piece);
    return pieces.send(scope, std::move(full)).has_value();
  }
};

/// Ends the looking when the reader's coroutine goes, however it goes.
struct dump_end {
  explicit dump_end(std::shared_ptr<dump_pipe> p) : pipe(std::move(p)) {}
  dump_end(const dump_end&) = delete;
  dump_end& operator=(const dump_end&) = delete;
  ~dump_end() { pipe->scope.cancel(); }

  std::shared_ptr<dump_pipe> pipe;
};

asio::awaitable<void> stream_tasks(desk_ptr at, choice which, context ctx, http::body_writer out) {
  const dump_end reader(std::make_shared<dump_pipe>(ctx, std::move(which)));
  auto here = co_await asio::this_coro::executor;
  const auto fill = [pipe = reader.pipe](const context& /*ctx*/) { pipe->fill(); };
  async_offload(at->dumps, reader.pipe->scope.ctx(), fill, asio::bind_executor(here, asio::detached));
  for (;;) {
    auto piece = co_await async_receive(ctx, reader.pipe->pieces);
    if (!piece) co_return;
    if (!*piece) break;
    std::string bytes = **std::move(piece);
    auto sent = co_await out.async_write(ctx, std::move(bytes));
    if (!sent) co_return;
    co_await asio::post(asio::use_awaitable);  // where nothing waits, others have their turn
  }
  if (!reader.pipe->complete) throw std::runtime_error("the tasks could not be looked at");
}

asio::awaitable<http::response> list_tasks(desk_ptr at, context ctx, const http::request* request) {
  if (request->query("limit")) co_return co_await on_thread(at, some_tasks, std::move(ctx), request);
  auto which = choice::from(query_of(*request));
  if (!which) co_return refuse(http::status::bad_request, which.error());
  co_return http::stream("application/json", [at, chosen = *which](context c, http::body_writer out) {
    return stream_tasks(at, chosen, std::move(c), std::move(out));
  });
}

/// A slow reader waits in its own write, and gets the newest frame then.
asio::awaitable<void> stream_frames(desk_ptr at, context ctx, http::body_writer out) {
  const looker::viewer watching(at->watcher);
  std::uint64_t shown = 0;
  while (!ctx.err()) {
    if (const auto frame = at->watcher.newest(); frame && frame->number != shown) {
      shown = frame->number;
      std::string event = frame->event;
      auto sent = co_await out.async_write(ctx, std::move(event));
      if (!sent) co_return;
    }
    auto slept = co_await async_sleep_for(ctx, looker::least_distance);
    if (!slept) co_return;
  }
}

asio::awaitable<http::response> follow(desk_ptr at) {
  co_return http::events(
      [at](context ctx, http::body_writer out) { return stream_frames(at, std::move(ctx), std::move(out)); });
}

asio::awaitable<http::response> refuse_later(refusal why) { co_return refuse(why.status, why.message); }

asio::awaitable<http::response> guarded(http::handler inner, context ctx, const http::request* request) {
  auto made = co_await inner(std::move(ctx), *request);
  made.set("X-Content-Type-Options", "nosniff");
  made.set("Referrer-Policy", "no-referrer");
  made.set("Content-Security-Policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  if (!made.fields().contains("Cache-Control")) made.set("Cache-Control", "no-store");
  co_return made;
}

}  // namespace

http::router make_routes(const console_options& options, int dump_signal) {
  const auto at = std::make_shared<desk>(options, dump_signal);
  http::router made;
  made.around([may_enter = gate(options.hosts())](http::handler inner) -> http::handler {
    return [may_enter, inner = std::move(inner)](context ctx, const http::request& request) {
      if (const auto refused = may_enter(request)) return refuse_later(*refused);
      return guarded(inner, std::move(ctx), &request);
    };
  });
  http::route_options own;
  if (!options.show_own()) own.no_task();
  auto endless = own;
  endless.no_time_limit();
  made.get(
      "/tasks",
      [at](context ctx, const http::request& request) { return list_tasks(at, std::move(ctx), &request); },
      endless);
  made.get("/tasks/{id}", handle(at, one_task), own);
  made.get("/tasks/{id}/stack", handle(at, stacks), own);
  made.post("/tasks/{id}/cancel", handle(at, cancel_one), own);
  made.get("/zombies", handle(at, all_zombies), own);
  made.get("/ended", handle(at, ended), own);
  made.get("/places", handle(at, all_places), own);
  made.get("/totals", handle(at, all_totals), own);
  made.get("/history", handle(at, history), own);
  made.get("/about", handle(at, about), own);
  made.get("/look", handle(at, one_look), own);
  made.get("/metrics", handle(at, all_metrics), own);
  made.get(
      "/events", [at](context /*ctx*/, const http::request& /*request*/) { return follow(at); }, endless);
  add_peers(made, options.peers(), own);
  std::vector<http::static_file> files;
  for (const auto& each : assets()) files.push_back({each.path, each.content_type, each.content});
  made.files("/", files);
  return made;
}

http::router routes(const console_options& options) { return make_routes(options, -1); }

}  // namespace curfew::inspect
