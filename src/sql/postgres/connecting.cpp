#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/detail/resolver.hpp>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "sql/postgres/connection.hpp"
#include "sql/postgres/drive.hpp"
#include "sql/postgres/wait.hpp"

namespace curfew::sql::postgres {

namespace {

/// Why there is no connection, by what libpq says verbosely: "… FATAL:  53300: sorry, too many clients already\nLOCATION: …".
error not_connected(const char* message) {
  constexpr std::size_t state_size = 5;
  std::string_view text(message);
  error_details details;
  std::error_code code = errc::connection_failed;
  const std::string_view separator = ":  ";
  if (const auto at = text.find(separator); at != std::string_view::npos) {
    const auto rest = text.substr(at + separator.size());
    if (rest.substr(std::min(state_size, rest.size())).starts_with(": ")) {
      details.sqlstate = rest.substr(0, state_size);
      code = code_of(details.sqlstate, nullptr);
      if (code == errc::connection_lost) code = errc::connection_failed;
      text = rest.substr(state_size + 2);
      text = text.substr(0, text.find('\n'));
    }
  }
  details.message = trimmed(std::string(text).c_str());
  return {code, "connecting", std::move(details)};
}

/// How long one of several hosts, or of a host's addresses, has that does not say how long.
constexpr clock::duration default_limit = std::chrono::seconds(5);

/// \param limit  Zero: none.
cancel_scope limited_by(const context& ctx, clock::duration limit) {
  return limit > clock::duration::zero() ? with_timeout(ctx, limit) : with_cancel(ctx);
}

/// A server has answered, and refuses: the others of the URL would, too. Not one that is starting or shutting down.
bool is_final(const error& why) {
  return !why.sqlstate().empty() && why.sqlstate() != "57P03" && why != errc::connection_lost;
}

/// "db.example (10.0.0.1):5432"
std::string shown(const host& at) {
  std::string text = at.name.empty() ? at.numeric : at.name;
  if (!at.numeric.empty() && at.numeric != text) text += " (" + at.numeric + ')';
  if (!at.port.empty()) text += ':' + at.port;
  return text;
}

error no_connection(std::string why) {
  return {errc::connection_failed, "connecting", error_details::saying(std::move(why))};
}

error timed_out(const host& at, const address& of) {
  const std::string where = at.says_nothing() ? std::string() : shown(at) + ": ";
  const bool is_told = of.connect_timeout > clock::duration::zero();
  return no_connection(where +
                       (is_told ? "no answer within the URL's connect_timeout" : "no answer in time"));
}

/// A name's addresses. libpq would look them up, too, for as long as that takes.
result<std::vector<host>> addresses_of(const context& ctx, const host& named, const address& of,
                                       clock::duration limit) {
  const cancel_scope limited = limited_by(ctx, limit);
  const auto found = curfew::detail::resolve(limited.ctx(), named.name);
  if (!found) {
    if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
    if (limited.ctx().err()) return timed_out(named, of);
    return no_connection(shown(named) + ": " + found.error().message());
  }
  std::vector<host> all;
  for (const auto& each : **found) all.push_back({named.name, each.to_string(), named.port});
  return all;
}

}  // namespace

result<std::unique_ptr<connection>> connection::open(const context& ctx, const settings& with) {
  auto hosts = with.at.hosts;
  if (with.at.in_any_order) std::ranges::shuffle(hosts, std::minstd_rand(std::random_device{}()));
  std::deque<host> left(hosts.begin(), hosts.end());
  std::unique_ptr<connection> second_choice;
  error failed(errc::connection_failed, "connecting");
  std::string said;
  const auto note = [&](error why) {
    failed = std::move(why);
    said += (said.empty() ? "" : "; ") + failed.details().message;
  };
  while (!left.empty()) {
    const host at = std::move(left.front());
    left.pop_front();
    const bool is_last = left.empty() && second_choice == nullptr;
    const bool has_limit = with.at.connect_timeout > clock::duration::zero() || is_last;
    const clock::duration limit = has_limit ? with.at.connect_timeout : default_limit;
    if (at.is_looked_up()) {
      auto found = addresses_of(ctx, at, with.at, limit);
      if (found) {
        left.insert(left.begin(), found->begin(), found->end());
        continue;
      }
      note(std::move(found).error());
    } else {
      auto made = open(ctx, with, at, limit);
      if (made) {
        if (!with.at.prefers_standby || (*made)->is_of_standby()) return made;
        if (second_choice == nullptr) second_choice = *std::move(made);
        continue;
      }
      note(std::move(made).error());
    }
    if (ctx.err() || is_final(failed)) break;
  }
  if (second_choice != nullptr) return second_choice;
  if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
  auto details = failed.details();
  details.message = std::move(said);
  return error(failed.code(), "connecting", std::move(details));
}

result<std::unique_ptr<connection>> connection::open(const context& ctx, const settings& with, const host& at,
                                                     clock::duration limit) {
  std::unique_ptr<connection> made(new connection(with));
  const cancel_scope limited = limited_by(ctx, limit);
  auto done = made->connect(limited.ctx(), at);
  if (done) done = made->set_up(limited.ctx());
  if (done) return made;
  if (!limited.ctx().err() || ctx.err()) return std::move(done).error();
  return timed_out(at, with.at);
}

bool connection::is_of_standby() const noexcept {
  const char* const said = ::PQparameterStatus(server_.get(), "in_hot_standby");  // from PostgreSQL 14
  return said != nullptr && std::string_view(said) == "on";
}

void connection::take_notice(void* self, const PGresult* notice) noexcept {
  auto& on = *static_cast<connection*>(self);
  const char* const severity = ::PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == nullptr) return;  // libpq's own
  // Of an idle connection libpq calls the server's last word a notice, too.
  if (std::string_view(severity) == "FATAL") {
    on.is_told_to_go_ = true;
  } else if (on.with_.on_notice) {
    on.with_.on_notice({severity, details_of(notice)});
  }
}

result<> connection::connect(const context& ctx, const host& at) {
  // Those behind the URL count, unless they are empty.
  const char* const role = with_.at.prefers_standby ? "any" : "";
  const std::array<const char*, 8> keywords{"dbname",
                                            "client_encoding",
                                            "fallback_application_name",
                                            "host",
                                            "hostaddr",
                                            "port",
                                            "target_session_attrs",
                                            nullptr};
  const std::array<const char*, 8> values{with_.url.c_str(),  "UTF8",          "curfew", at.name.c_str(),
                                          at.numeric.c_str(), at.port.c_str(), role,     nullptr};
  if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
  server_.reset(::PQconnectStartParams(keywords.data(), values.data(), 1));
  if (!server_) return error(std::make_error_code(std::errc::not_enough_memory), "connecting");
  const auto refused = [this] { return not_connected(::PQerrorMessage(server_.get())); };
  if (is_broken()) return refused();
  ::PQsetNoticeReceiver(server_.get(), &connection::take_notice, this);
  ::PQsetErrorVerbosity(server_.get(), PQERRORS_VERBOSE);  // the only way to learn the SQLSTATE of a refusal
  const on_done<wake_up> ending(ctx, wake_up{&waker_});
  for (auto state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
       state = ::PQconnectPoll(server_.get())) {
    if (state == PGRES_POLLING_FAILED) return refused();
    const curfew::detail::waiting_for shown("connection to a database");
    const wants what = state == PGRES_POLLING_WRITING ? wants::write : wants::read;
    do {
      if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
    } while (wait_for(socket(), what, waker_) == readiness::none);
  }
  ::PQsetErrorVerbosity(server_.get(), PQERRORS_DEFAULT);
  if (::PQsetnonblocking(server_.get(), 1) != 0) return refused();
  return {};
}

result<> connection::set_up(const context& ctx) {
  // The server's own last line, if this process dies; and it frees what was condemned.
  constexpr int first_with_check = 140000;
  std::vector<const char*> texts;
  if (with_.prepared) texts.push_back("set extra_float_digits = 1");  // all digits
  const char* const dates = ::PQparameterStatus(server_.get(), "DateStyle");
  if (dates == nullptr || !std::string_view(dates).starts_with("ISO")) texts.push_back("set datestyle = iso");
  const bool asks_for_check = with_.prepared && ::PQserverVersion(server_.get()) >= first_with_check;
  if (asks_for_check) texts.push_back("set client_connection_check_interval = '1s'");
  const parameters none;
  for (const char* text : texts) {
    if (auto started = start(text, none, how::plain); !started) return started;
    if (!drive(*this, ctx)) return error(curfew::error::ended(ctx, "connecting"));
    auto done = take();
    if (is_broken()) return std::move(done).error();
  }
  for (const std::string& each : with_.on_connect) {
    if (auto started = start(each, none, how::plain); !started) return started;
    if (!drive(*this, ctx)) return error(curfew::error::ended(ctx, "connecting"));
    if (auto done = take(); !done) return std::move(done).error();
  }
  return {};
}

bool connection::is_alive() noexcept {
  if (!is_idle()) return false;
  pollfd one{socket(), POLLIN, 0};
  if (::poll(&one, 1, 0) == 0) return true;
  // A notice, or the server's end, of which its last word may come alone.
  if (::PQconsumeInput(server_.get()) == 0) return false;
  return ::PQisBusy(server_.get()) == 0 && !is_told_to_go_ && !is_broken();
}

}  // namespace curfew::sql::postgres
