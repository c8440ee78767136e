#include "http/server/exchange.hpp"

#include <algorithm>
#include <chrono>
#include <curfew/core/detail/unseen.hpp>
#include <curfew/http/errc.hpp>
#include <mutex>
#include <utility>

#include "http/message/message_access.hpp"
#include "http/message/trace_fields.hpp"
#include "http/server/server_state.hpp"
#include "http/server/worker.hpp"

namespace curfew::http {

namespace {

constexpr std::chrono::seconds time_to_answer{1};  // after the deadline

/// A request that its contexts keep.
struct kept_request {
  mutable request it{{}, {}};
};
constexpr key<kept_request> request_key{"http request"};

std::string name_of(const request& r) {
  constexpr std::size_t most = 200;
  std::string name = r.method() + ' ' + r.target().substr(0, most);
  if (r.target().size() > most) name += "...";
  return name;
}

}  // namespace

exchange::exchange(worker& on, const peer& from)
    : worker_(on),
      holder_(with_value(on.server().base, request_key, {})),
      request_(&holder_.value(request_key)->it) {
  request_access::remote(*request_) = from.name;
  request_access::client(*request_) = from.told;
  request_access::https(*request_) = from.by_tls;
  if (from.certificate) request_access::certificate(*request_) = from.certificate;
}

void exchange::ask_proxies(const peer& nearest) {
  const server_state& server = worker_.server();
  const auto client =
      find_client(request_->fields(), nearest.address, server.trusted, server.settings.forwarded_by());
  request_access::client(*request_) = text_of(client.address);
  request_access::https(*request_) = client.https || (nearest.by_tls && client.address == nearest.address);
}

const routing& exchange::find_route() {
  if (!where_) where_ = router_access::find(worker_.server().routes, *request_);
  return *where_;
}

bool exchange::count_body() noexcept {
  server_state& server = worker_.server();
  const auto now = request_->body().size();
  if (now == counted_) return true;
  const auto more = now - std::exchange(counted_, now);
  return server.buffered.fetch_add(more, std::memory_order_relaxed) + more <=
         server.settings.max_buffered_bodies();
}

void exchange::let_go_of_body() noexcept {
  if (counted_ != 0)
    worker_.server().buffered.fetch_sub(std::exchange(counted_, 0), std::memory_order_relaxed);
}

bool exchange::is_overdue() const noexcept {
  const auto deadline = scope_->deadline();
  return deadline && worker_.server().base.now() - *deadline >= time_to_answer;
}

/// With the trace that the request is part of. While inspection is on it always is.
context exchange::traced() const {
  if (!where_->to->options.is_task() && detail::task_listener() != nullptr) [[unlikely]]
    return with_value(holder_, detail::unseen_tasks, true);
  auto part_of = read_trace(request_->fields());
  if (!part_of) {
    if (detail::task_listener() == nullptr) [[likely]]
      return holder_;
    part_of = trace_context::begin();
  }
  return with_value(holder_, trace, *std::move(part_of));
}

/// A task with the method and the path: a query may hold secrets.
void exchange::show(detail::task_ref lane) {
  static constexpr task_kind of_server{"http request"};
  std::string name = request_->method();
  name += ' ';
  name += std::string_view(request_->target()).substr(0, request_->target().find('?'));
  shown_ = detail::open_task(*scope_, of_server, name, where_->to->where);
  in_lane_.emplace(lane, shown_.ref());
  // Until now the span was the caller's, which is the task's parent. No other thread has seen the context.
  if (const auto* part_of = scope_->ctx().value(trace); part_of != nullptr && shown_.ref())
    const_cast<trace_context*>(part_of)->span = detail::id_of(shown_);  // NOLINT(*-const-cast)
}

bool exchange::begin(std::optional<clock::duration> asked, detail::task_ref lane) {
  const server_state& server = worker_.server();
  auto limit =
      where_->to->options.has_time_limit() ? server.settings.max_request_time() : clock::duration::max();
  if (asked) limit = std::min(limit, *asked);
  const bool unlimited = limit == clock::duration::max();
  if (!unlimited && header_at_) limit -= server.base.now() - *header_at_;
  if (limit <= clock::duration::zero()) return false;
  {
    const context above = traced();
    cancel_scope made = unlimited ? with_cancel(above) : with_timeout(above, limit);
    const std::lock_guard guard(worker_.mutex());
    scope_.emplace(std::move(made));
    began_ = worker_.events().now();
    worker_.add(*this);
  }
  if (detail::task_listener() != nullptr) [[unlikely]]
    show(lane);
  if (server.ending.load()) scope_->cancel(cause(http::errc::shutdown));
  return true;
}

void exchange::client_gone() noexcept { scope_->cancel(worker_.client_gone); }

void exchange::end(outcome how) noexcept {
  in_lane_.reset();
  shown_.close();  // before its context ends: it has not been told to stop by that
  std::optional<cancel_scope> over;
  {
    const std::lock_guard guard(worker_.mutex());
    over.swap(scope_);
    worker_.remove(*this);
  }
  // Runs callbacks: not under the lock.
  over->cancel(how == outcome::answered ? worker_.handler_done : worker_.client_gone);
}

void exchange::complain(std::string_view what) const {
  worker_.server().settings.on_error()(name_of(*request_) + ": " + std::string(what));
}

std::string exchange::describe(clock::time_point now) const {
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(now - began_).count() / 100;
  return name_of(*request_) + ", " + std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " s";
}

std::string exchange::name() const {
  const route& at = *where_->to;
  return at.pattern.empty() ? name_of(*request_) : request_->method() + ' ' + at.pattern;
}

}  // namespace curfew::http
