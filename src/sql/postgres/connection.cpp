#include "sql/postgres/connection.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/with.hpp>
#include <system_error>
#include <tuple>
#include <utility>

#include "sql/shortened.hpp"

// Of libpq 17: there when the program runs with it.
extern "C" {
// NOLINTBEGIN(readability-identifier-naming)
struct pg_cancel_conn;
[[gnu::weak]] pg_cancel_conn* PQcancelCreate(PGconn* server);
[[gnu::weak]] int PQcancelBlocking(pg_cancel_conn* request);
[[gnu::weak]] void PQcancelFinish(pg_cancel_conn* request);
// NOLINTEND(readability-identifier-naming)
}

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

constexpr short readable_events = POLLIN | POLLERR | POLLHUP;

/// Of an idle connection libpq calls the server's last word a notice, too.
void take_notice(void* is_told_to_go, const PGresult* notice) {
  const char* severity = ::PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && std::string_view(severity) == "FATAL") *static_cast<bool*>(is_told_to_go) = true;
}

/// Ends a poll of this thread.
struct wake_up {
  const wake_event* waker;
  void operator()() const noexcept { waker->set(); }
};

/// Waits for the socket, or for `waker`.
/// \return whether the socket is readable.
bool wait_for(int socket, wants what, const wake_event& waker) noexcept {
  std::array<pollfd, 2> fds{};
  fds[0].fd = socket;
  fds[0].events = what == wants::write ? POLLIN | POLLOUT : POLLIN;
  fds[1].fd = waker.fd();
  fds[1].events = POLLIN;
  std::ignore = ::poll(fds.data(), fds.size(), -1);  // what interrupts it makes the caller look again
  if (fds[1].revents != 0) waker.clear();
  return (fds[0].revents & readable_events) != 0;
}

constexpr std::string_view a_batch = "a batch";

/// Why a text is not sent at all, if it is not.
std::optional<error> unsendable(std::string_view text) {
  if (text.contains('\0')) {
    return error(errc::syntax, shortened(text) + " : sending",
                 error_details::saying("a zero byte in the text"));
  }
  if (text.find_first_not_of(" \t\r\n;") == std::string_view::npos) {
    return error(errc::syntax, shortened(text) + " : sending",
                 error_details::saying("there is no statement"));
  }
  return std::nullopt;
}

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

}  // namespace

wake_event::wake_event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ == -1) throw std::system_error(errno, std::generic_category(), "eventfd");
}

wake_event::~wake_event() { ::close(fd_); }

void wake_event::set() const noexcept {
  const std::uint64_t one = 1;
  std::ignore = ::write(fd_, &one, sizeof one);
}

void wake_event::clear() const noexcept {
  std::uint64_t count = 0;
  std::ignore = ::read(fd_, &count, sizeof count);
}

error cut_off(const context& ctx, std::string doing) {
  if (ctx.err()) return curfew::error::ended(ctx, std::move(doing));
  return {make_error_code(curfew::errc::canceled), std::move(doing)};
}

result<address> parse_url(const std::string& url) {
  char* why = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> all(
      ::PQconninfoParse(url.c_str(), &why), &::PQconninfoFree);
  const std::unique_ptr<char, void (*)(void*)> said(why, &::PQfreemem);
  if (!all) return error(errc::bad_url, "postgresql://…", error_details::saying(trimmed(said.get())));
  const auto value_of = [&all](std::string_view keyword) {
    for (const PQconninfoOption* each = all.get(); each->keyword != nullptr; ++each) {
      if (each->keyword == keyword && each->val != nullptr) return std::string(each->val);
    }
    return std::string();
  };
  address made;
  std::string& text = made.shown;
  text = value_of("dbname");
  const std::string host = value_of("host").empty() ? value_of("hostaddr") : value_of("host");
  text += " on " + (host.empty() ? "the local server" : host);
  if (const auto port = value_of("port"); !port.empty()) text += ':' + port;
  const std::string timeout = value_of("connect_timeout");
  int seconds = 0;
  std::from_chars(timeout.data(), timeout.data() + timeout.size(),
                  seconds);  // libpq refuses what is no number
  made.connect_timeout = std::chrono::seconds(std::max(seconds, 0));
  return made;
}

connection::~connection() { by_text_.clear(); }

result<std::unique_ptr<connection>> connection::open(const context& ctx, const settings& with) {
  std::unique_ptr<connection> made(new connection(with));
  const bool is_limited = with.connect_timeout > clock::duration::zero();
  const cancel_scope limited = is_limited ? with_timeout(ctx, with.connect_timeout) : with_cancel(ctx);
  auto done = made->connect(limited.ctx());
  if (done) done = made->set_up(limited.ctx());
  if (done) return made;
  if (!limited.ctx().err() || ctx.err()) return std::move(done).error();
  return error(errc::connection_failed, "connecting",
               error_details::saying("no answer within the URL's connect_timeout"));
}

result<> connection::connect(const context& ctx) {
  const std::array<const char*, 4> keywords{"dbname", "client_encoding", "fallback_application_name",
                                            nullptr};
  const std::array<const char*, 4> values{with_.url.c_str(), "UTF8", "curfew", nullptr};
  if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
  server_.reset(::PQconnectStartParams(keywords.data(), values.data(), 1));
  if (!server_) return error(std::make_error_code(std::errc::not_enough_memory), "connecting");
  const auto refused = [this] { return not_connected(::PQerrorMessage(server_.get())); };
  if (is_broken()) return refused();
  ::PQsetNoticeReceiver(server_.get(), &take_notice, &is_told_to_go_);
  ::PQsetErrorVerbosity(server_.get(), PQERRORS_VERBOSE);  // the only way to learn the SQLSTATE of a refusal
  const on_done<wake_up> ending(ctx, wake_up{&waker_});
  for (auto state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
       state = ::PQconnectPoll(server_.get())) {
    if (state == PGRES_POLLING_FAILED) return refused();
    const curfew::detail::waiting_for shown("connection to a database");
    const wants what = state == PGRES_POLLING_WRITING ? wants::write : wants::read;
    std::array<pollfd, 2> fds{};
    fds[0].fd = socket();
    fds[0].events = what == wants::write ? POLLOUT : POLLIN;
    fds[1].fd = waker_.fd();
    fds[1].events = POLLIN;
    do {
      if (ctx.err()) return error(curfew::error::ended(ctx, "connecting"));
      std::ignore = ::poll(fds.data(), fds.size(), -1);
      if (fds[1].revents != 0) waker_.clear();
    } while (fds[0].revents == 0);
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

void connection::reset(std::string_view text, how sent) {
  how_ = sent;
  text_ = text;
  values_.reset();
  name_.clear();
  tag_.clear();
  failed_.reset();
  columns_.reset();
  answers_.clear();
  rows_ = 0;
  expected_.clear();
  next_expected_ = 0;
  batch_texts_.clear();
  batch_rows_.clear();
  sent_ = stale_ = retried_ = unsent_ = false;
}

result<> connection::start(std::string_view text, const parameters& with, how sent) {
  if (auto refused = unsendable(text)) return *std::move(refused);
  auto values = encoded::of(with, text);
  if (!values) return std::move(values).error();
  reset(text, sent);
  values_ = *std::move(values);
  if (!send(first_phase())) {
    end();
    return *std::exchange(failed_, std::nullopt);
  }
  return {};
}

result<> connection::start(const batch& all) {
  std::vector<encoded> values;
  for (const auto& each : all.all()) {
    if (auto refused = unsendable(each.text)) return *std::move(refused);
    auto one = encoded::of(each.with, each.text);
    if (!one) return std::move(one).error();
    values.push_back(*std::move(one));
  }
  reset(a_batch, how::plain);
  if (all.empty()) return {};
  for (const auto& each : all.all()) batch_texts_.push_back(shortened(each.text));
  phase_ = phase::batching;
  sent_ = unsent_ = true;
  if (send_batch(all, values)) return {};
  error why = lost(::PQerrorMessage(server_.get()));
  server_.reset();  // what it has got of it is not carried out without its end
  end();
  return why;
}

bool connection::send_batch(const batch& all, const std::vector<encoded>& values) {
  PGconn* const to = server_.get();
  if (::PQenterPipelineMode(to) == 0) return false;
  // libpq forgets the mode of a stream behind the first command of a pipeline only: that is an empty one.
  if (gives_single_rows_ && ::PQpipelineSync(to) == 0) return false;
  for (std::size_t i = 0; i != all.size(); ++i) {
    const std::string& text = all.all()[i].text;
    const encoded& with = values[i];
    auto known = by_text_.find(text);
    if (known == by_text_.end() && with_.prepared && statements_.size() < with_.statements) {
      const std::string name = next_name();
      if (::PQsendPrepare(to, name.c_str(), text.c_str(), 0, nullptr) == 0) return false;
      keep_statement(text, name);
      expected_.push_back({i, text});
      known = by_text_.find(text);
    }
    const int done = known == by_text_.end()
                         ? ::PQsendQueryParams(to, text.c_str(), with.size(), nullptr, with.values(),
                                               with.lengths(), with.formats(), 0)
                         : ::PQsendQueryPrepared(to, known->second->name.c_str(), with.size(), with.values(),
                                                 with.lengths(), with.formats(), 0);
    if (done == 0) return false;
    expected_.push_back({i, {}});
  }
  return ::PQpipelineSync(to) != 0;
}

void connection::on_batch_answer(answer_ptr answer) {
  const ExecStatusType status = ::PQresultStatus(answer.get());
  if (status == PGRES_PIPELINE_SYNC) {
    if (std::exchange(gives_single_rows_, false)) return;  // the one before the first statement
    if (::PQexitPipelineMode(server_.get()) == 0) server_.reset();
    end();
    return;
  }
  if (next_expected_ == expected_.size()) return;  // the connection is lost, as on_ready says
  const expected& of = expected_[next_expected_++];
  const std::string& text = batch_texts_[of.statement];
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) {
    if (!of.prepared_text.empty() || failed_) return;
    tag_ = ::PQcmdStatus(answer.get());
    const decoder columns(answer.get());
    auto decoded = columns.decode(std::move(answer));
    if (!decoded) {
      failed_ = std::move(decoded).error();
    } else {
      batch_rows_.push_back(*std::move(decoded));
    }
    return;
  }
  if (!of.prepared_text.empty()) forget(of.prepared_text, false);
  if (failed_ || status == PGRES_PIPELINE_ABORTED) return;  // the first one says why
  if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
    refuse_copy(text);
    return;
  }
  failed_ = postgres::failed(answer.get(), text + " : running");
}

connection::phase connection::first_phase() {
  if (how_ == how::plain || !with_.prepared) return phase::executing;
  if (const auto found = by_text_.find(text_); found != by_text_.end()) {
    statements_.splice(statements_.begin(), statements_, found->second);
    name_ = statements_.front().name;
    return phase::executing;
  }
  while (statements_.size() >= std::max<std::size_t>(with_.statements, 1))
    forget(std::string(statements_.back().text), true);
  return dropped_.empty() ? phase::preparing : phase::dropping;
}

void connection::forget(std::string_view text, bool is_there) {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return;
  const auto at = found->second;
  if (is_there) dropped_.push_back(std::move(at->name));
  by_text_.erase(found);
  statements_.erase(at);
}

std::string connection::next_name() { return "curfew_" + std::to_string(++last_name_); }

void connection::keep_statement(std::string_view text, const std::string& name) {
  statements_.push_front({std::string(text), name});
  by_text_.emplace(statements_.front().text, statements_.begin());
}

bool connection::send(phase next) {
  phase_ = next;
  int done = 0;
  switch (next) {
    case phase::dropping:
      done = ::PQsendQuery(server_.get(), ("deallocate " + dropped_.back()).c_str());
      break;
    case phase::preparing:
      name_ = next_name();
      done = ::PQsendPrepare(server_.get(), name_.c_str(), text_.c_str(), 0, nullptr);
      break;
    case phase::executing:
      done = send_execution();
      sent_ = true;
      if (done != 0 && how_ == how::streamed) done = ::PQsetSingleRowMode(server_.get());
      gives_single_rows_ = how_ == how::streamed;
      break;
    case phase::batching:
    case phase::idle:
      return true;
  }
  unsent_ = true;
  if (done == 0) failed_ = lost(::PQerrorMessage(server_.get()));
  return done != 0;
}

int connection::send_execution() {
  if (how_ == how::plain) return ::PQsendQuery(server_.get(), text_.c_str());
  if (name_.empty()) {
    return ::PQsendQueryParams(server_.get(), text_.c_str(), values_->size(), nullptr, values_->values(),
                               values_->lengths(), values_->formats(), 0);
  }
  return ::PQsendQueryPrepared(server_.get(), name_.c_str(), values_->size(), values_->values(),
                               values_->lengths(), values_->formats(), 0);
}

wants connection::step(bool readable) {
  if (readable && phase_ != phase::idle)
    std::ignore = ::PQconsumeInput(server_.get());  // where it fails, an answer says so
  while (phase_ != phase::idle && !has_enough()) {
    if (unsent_) unsent_ = ::PQflush(server_.get()) == 1;
    if (::PQisBusy(server_.get()) != 0) return unsent_ ? wants::write : wants::read;
    if (answer_ptr next(::PQgetResult(server_.get())); next) {
      on_answer(std::move(next));
    } else {
      on_ready();
    }
  }
  return wants::nothing;
}

void connection::refuse_copy(const std::string& what) {
  failed_ = error(errc::other, what, error_details::saying("COPY is not for query and execute"));
  server_.reset();
  end();
}

void connection::on_answer(answer_ptr answer) {
  if (phase_ == phase::batching) return on_batch_answer(std::move(answer));
  switch (::PQresultStatus(answer.get())) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
      tag_ = ::PQcmdStatus(answer.get());
      [[fallthrough]];
    case PGRES_SINGLE_TUPLE:
      if (phase_ != phase::executing || (how_ == how::streamed && !values_)) return;
      if (!columns_) columns_.emplace(answer.get());
      rows_ += static_cast<std::size_t>(::PQntuples(answer.get()));
      answers_.push_back(std::move(answer));
      return;
    case PGRES_EMPTY_QUERY:
      failed_ = error(errc::syntax, doing(), error_details::saying("there is no statement"));
      return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      // It would have to be carried through; the connection goes instead.
      refuse_copy(doing());
      return;
    default:
      break;
  }
  if (failed_) return;  // the first one says why
  const auto state = sqlstate_of(answer.get());
  if (phase_ == phase::dropping && !state.empty()) return;  // it is gone already
  failed_ = postgres::failed(answer.get(), doing());
  // A table was changed, or what was prepared was dropped.
  stale_ = phase_ == phase::executing && !name_.empty() &&
           (*failed_ == errc::serialization_failure ? state == "0A000" : state == "26000");
}

void connection::on_ready() {
  if (is_broken()) {
    if (!failed_) failed_ = lost(::PQerrorMessage(server_.get()));
    end();
    return;
  }
  phase next = phase::idle;
  switch (phase_) {
    case phase::batching:
      return;  // one of its statements is done
    case phase::dropping:
      dropped_.pop_back();
      next = dropped_.empty() ? phase::preparing : phase::dropping;
      break;
    case phase::preparing:
      if (failed_) break;
      keep_statement(text_, name_);  // the next one of that text may have it
      next = phase::executing;
      break;
    case phase::executing:
      if (!stale_) break;
      forget(text_, *failed_ == errc::serialization_failure);
      name_.clear();
      stale_ = false;
      if (in_transaction() || !values_ || std::exchange(retried_, true)) break;
      failed_.reset();
      next = first_phase();
      break;
    case phase::idle:
      break;
  }
  if (next == phase::idle || !values_ || !send(next)) end();
}

void connection::end() noexcept {
  phase_ = phase::idle;
  values_.reset();
  unsent_ = false;
}

result<rows> connection::take() {
  if (failed_) return *std::exchange(failed_, std::nullopt);
  if (answers_.empty()) return rows();
  rows_ = 0;
  std::vector<answer_ptr> all = std::exchange(answers_, {});
  if (all.size() == 1) return columns_->decode(std::move(all.front()));
  return columns_->decode(std::move(all));
}

void connection::abandon() {
  unwatch();
  values_.reset();
  if (how_ != how::streamed) return;
  answers_.clear();
  rows_ = 0;
}

error connection::lost(const char* message) const {
  const std::error_code code = is_broken() ? errc::connection_lost : errc::bad_parameter;
  return {code, doing(), error_details::saying(trimmed(message))};
}

std::optional<notification> connection::take_notification() {
  std::ignore = ::PQconsumeInput(server_.get());
  const std::unique_ptr<PGnotify, void (*)(void*)> one(::PQnotifies(server_.get()), &::PQfreemem);
  if (!one) return std::nullopt;
  return notification{one->relname, one->extra, one->be_pid};
}

std::function<void()> connection::canceler() const {
  if (PQcancelCreate != nullptr) {  // encrypted, where the connection is
    const std::shared_ptr<pg_cancel_conn> request(::PQcancelCreate(server_.get()), ::PQcancelFinish);
    return [request] { std::ignore = ::PQcancelBlocking(request.get()); };
  }
  const std::shared_ptr<PGcancel> request(::PQgetCancel(server_.get()), &::PQfreeCancel);
  return [request] {
    std::array<char, 256> why{};
    ::PQcancel(request.get(), why.data(), static_cast<int>(why.size()));  // one that fails is sent again
  };
}

std::string connection::doing() const {
  const char* phase_name = " : running";
  if (phase_ == phase::preparing || phase_ == phase::dropping) {
    phase_name = " : preparing";
  } else if (unsent_) {
    phase_name = " : sending";
  }
  return shortened(text_) + phase_name;
}

bool drive(connection& on, const context& ctx) {
  on.unwatch();
  wants what = on.step(false);
  if (what == wants::nothing) return true;
  const on_done<wake_up> ending(ctx, wake_up{&on.waker()});
  const curfew::detail::waiting_for shown("database", static_cast<std::uint64_t>(on.process()));
  while (what != wants::nothing) {
    if (ctx.err()) return false;
    what = on.step(wait_for(on.socket(), what, on.waker()));
  }
  return true;
}

asio::posix::stream_descriptor& connection::watched_by(const asio::any_io_executor& loop) {
  if (!watched_ || !watched_->is_of(loop)) {
    watched_.reset();
    watched_ = watched_socket::make(loop, socket());
  }
  return watched_->descriptor();
}

asio::awaitable<bool> async_drive(connection& on, context ctx, std::uint64_t task) {
  using wait = asio::posix::stream_descriptor::wait_type;
  wants what = on.step(false);
  if (what == wants::nothing) co_return true;
  const asio::any_io_executor loop = co_await asio::this_coro::executor;
  while (what != wants::nothing) {
    if (ctx.err()) co_return false;
    auto& socket = on.watched_by(loop);
    curfew::detail::about_to_wait("query", task);
    const wait for_what = what == wants::write ? wait::wait_write : wait::wait_read;
    auto ready = co_await socket.async_wait(for_what, with(ctx));
    if (!ready) co_return false;
    what = on.step(true);
  }
  co_return true;
}

namespace {

constexpr const char* waiting_for_news = "waiting for a notification";

error lost_while_listening() { return {errc::connection_lost, waiting_for_news}; }

}  // namespace

result<notification> next_notification(connection& on, const context& ctx) {
  const on_done<wake_up> ending(ctx, wake_up{&on.waker()});
  const curfew::detail::waiting_for shown("notification", static_cast<std::uint64_t>(on.process()));
  for (;;) {
    if (auto one = on.take_notification()) return *std::move(one);
    if (on.is_broken()) return lost_while_listening();
    if (ctx.err()) return cut_off(ctx, waiting_for_news);
    std::ignore = wait_for(on.socket(), wants::read, on.waker());
  }
}

asio::awaitable<result<notification>> async_next_notification(connection& on, context ctx) {
  const asio::any_io_executor loop = co_await asio::this_coro::executor;
  for (;;) {
    if (auto one = on.take_notification()) co_return *std::move(one);
    if (on.is_broken()) co_return lost_while_listening();
    auto& socket = on.watched_by(loop);
    curfew::detail::about_to_wait("notification", static_cast<std::uint64_t>(on.process()));
    auto ready = co_await socket.async_wait(asio::posix::stream_descriptor::wait_read, with(ctx));
    if (!ready) co_return cut_off(ctx, waiting_for_news);
  }
}

}  // namespace curfew::sql::postgres
