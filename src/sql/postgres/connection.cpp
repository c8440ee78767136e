#include "sql/postgres/connection.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "sql/database.hpp"
#include "sql/postgres/newer_libpq.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

/// Has the rows of what was sent come as they do, some at a time where libpq can do that.
int give_rows_as_they_come(PGconn* server) {
  if (PQsetChunkedRowsMode == nullptr) return ::PQsetSingleRowMode(server);
  return ::PQsetChunkedRowsMode(server, static_cast<int>(rows_at_a_time));
}

}  // namespace

connection::~connection() { by_text_.clear(); }

std::optional<error> connection::unsendable(std::string_view text) {
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

void connection::reset(std::string_view text, how sent) {
  how_ = sent;
  text_ = text;
  values_.reset();
  name_.clear();
  tag_.clear();
  failed_.reset();
  gathered_.reset();
  columns_.reset();
  answers_.clear();
  rows_ = 0;
  piece_.clear();
  unflushed_ = 0;
  expected_.clear();
  next_expected_ = 0;
  batch_texts_.clear();
  batch_rows_.clear();
  sent_ = stale_ = retried_ = unsent_ = drop_failed_ = false;
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

connection::phase connection::first_phase() {
  const bool is_kept = how_ == how::prepared || how_ == how::streamed;
  if (!is_kept || !with_.prepared) return phase::executing;
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
      if (done != 0 && how_ == how::streamed) done = give_rows_as_they_come(server_.get());
      gives_some_rows_ = how_ == how::streamed;
      break;
    case phase::copying:
    case phase::batching:
    case phase::idle:
      return true;
  }
  unsent_ = true;
  if (done == 0) failed_ = lost();
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
    if (is_copying()) {
      if (is_broken()) {  // which the functions for its data do not say
        failed_ = lost();
        end();
        break;
      }
      if (how_ == how::copied_in && unsent_) return wants::write;
      if (how_ == how::copied_out && !take_row()) return wants::read;
      continue;
    }
    if (::PQisBusy(server_.get()) != 0) return unsent_ ? wants::write : wants::read;
    if (answer_ptr next(::PQgetResult(server_.get())); next) {
      on_answer(std::move(next));
    } else {
      on_ready();
    }
  }
  return wants::nothing;
}

bool connection::has_enough() const noexcept {
  switch (how_) {
    case how::streamed:
      return rows_ >= rows_at_a_time;
    case how::copied_in:
      return is_copying() && !unsent_;
    case how::copied_out:
      return piece_.size() >= piece_size;
    case how::prepared:
    case how::once:
    case how::plain:
      break;
  }
  return false;
}

void connection::on_answer(answer_ptr answer) {
  if (phase_ == phase::batching) return on_batch_answer(std::move(answer));
  const ExecStatusType status = ::PQresultStatus(answer.get());
  if (static_cast<int>(status) == status_of_chunk) return keep_rows(std::move(answer));
  switch (status) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
      tag_ = ::PQcmdStatus(answer.get());
      return keep_rows(std::move(answer));
    case PGRES_SINGLE_TUPLE:
      return keep_row(answer.get());
    case PGRES_EMPTY_QUERY:
      failed_ = error(errc::syntax, doing(), error_details::saying("there is no statement"));
      return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      if (begin_copy(status)) return;
      // It would have to be carried through; the connection goes instead.
      refuse_copy(doing());
      return;
    default:
      break;
  }
  if (failed_) return;  // the first one says why
  const auto state = sqlstate_of(answer.get());
  if (phase_ == phase::dropping && !state.empty()) {
    // Without a statement of that name it is gone already. Else, canceled or in a transaction that has failed, it stays.
    drop_failed_ = state != "26000";
    return;
  }
  failed_ = postgres::failed(answer.get(), doing());
  // A table was changed, or what was prepared was dropped.
  stale_ = phase_ == phase::executing && !name_.empty() &&
           (*failed_ == errc::serialization_failure ? state == "0A000" : state == "26000");
}

void connection::keep_rows(answer_ptr answer) {
  if (phase_ != phase::executing || (how_ == how::streamed && !values_)) return;
  if (!columns_) columns_.emplace(answer.get());
  rows_ += static_cast<std::size_t>(::PQntuples(answer.get()));
  answers_.push_back(std::move(answer));
}

void connection::keep_row(const PGresult* row) {
  if (phase_ != phase::executing || !values_) return;
  if (!columns_) columns_.emplace(row);
  if (!gathered_) gathered_.emplace(*columns_);
  ++rows_;
  if (auto why = gathered_->add(row); why && !failed_) failed_ = std::move(why);
}

void connection::on_ready() {
  if (is_broken()) {
    if (!failed_) failed_ = lost();
    end();
    return;
  }
  phase next = phase::idle;
  switch (phase_) {
    case phase::batching:
      return;  // one of its statements is done
    case phase::dropping:
      if (std::exchange(drop_failed_, false)) {
        next = phase::preparing;  // it is tried again before the next one is prepared
        break;
      }
      dropped_.pop_back();
      next = dropped_.empty() ? phase::preparing : phase::dropping;
      break;
    case phase::preparing:
      if (failed_) break;
      keep_statement(text_, name_);  // the next one of that text may have it
      next = phase::executing;
      break;
    case phase::copying:
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
  rows_ = 0;
  if (gathered_) {
    answers_.clear();  // that of the end, without rows
    rows some = std::move(*gathered_).take();
    gathered_.reset();
    return some;
  }
  if (answers_.empty()) return rows();
  std::vector<answer_ptr> all = std::exchange(answers_, {});
  if (all.size() == 1) return columns_->decode(std::move(all.front()));
  return columns_->decode(std::move(all));
}

void connection::abandon() {
  unwatch();
  values_.reset();
  if (how_ == how::copied_in && is_copying()) fail_copy();
  piece_.clear();
  if (how_ != how::streamed) return;
  gathered_.reset();
  answers_.clear();
  rows_ = 0;
}

error connection::lost() const {
  const std::error_code code = is_broken() ? errc::connection_lost : errc::bad_parameter;
  return {code, doing(), error_details::saying(trimmed(::PQerrorMessage(server_.get())))};
}

asio::posix::stream_descriptor& connection::watched_by(const asio::any_io_executor& loop) {
  if (!watched_ || !watched_->is_of(loop)) watched_.emplace(loop, socket());
  return watched_->descriptor();
}

std::string connection::doing() const {
  const char* phase_name = " : running";
  if (phase_ == phase::preparing || phase_ == phase::dropping) {
    phase_name = " : preparing";
  } else if (unsent_ || (is_copying() && how_ == how::copied_in)) {
    phase_name = " : sending";
  }
  return shortened(text_) + phase_name;
}

}  // namespace curfew::sql::postgres
