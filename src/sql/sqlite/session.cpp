#include "sql/sqlite/session.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/sync/sleep.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "sql/calendar.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::sqlite {

namespace {

using detail::cell;
using detail::cell_kind;
using detail::table;

constexpr int steps_between_looks = 1000;
constexpr std::size_t smallest_chunk = 256;
constexpr std::size_t largest_chunk = 2 * std::size_t{1024} * 1024;

std::error_code code_of(int extended) noexcept {
  switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return errc::unique_violation;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return errc::foreign_key_violation;
    case SQLITE_CONSTRAINT_NOTNULL:
      return errc::not_null_violation;
    case SQLITE_BUSY_SNAPSHOT:
      return errc::serialization_failure;
    default:
      break;
  }
  switch (extended & 0xff) {
    case SQLITE_CONSTRAINT:
      return errc::check_violation;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return errc::busy;
    case SQLITE_READONLY:
      return errc::read_only;
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return errc::not_allowed;
    case SQLITE_TOOBIG:
      return errc::too_large;
    case SQLITE_ERROR:
      return errc::syntax;
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return errc::bad_parameter;
    case SQLITE_NOMEM:
      return std::make_error_code(std::errc::not_enough_memory);
    case SQLITE_FULL:
      return std::make_error_code(std::errc::no_space_on_device);
    default:
      return errc::other;
  }
}

/// "users.name" of "UNIQUE constraint failed: users.name".
std::string constraint_in(std::string_view message) {
  constexpr std::string_view before = "constraint failed: ";
  const auto at = message.find(before);
  return at == std::string_view::npos ? std::string() : std::string(message.substr(at + before.size()));
}

/// Characters before a byte of UTF-8, and one more: a position as people count.
std::size_t position_of(std::string_view text, int offset) noexcept {
  if (offset < 0 || static_cast<std::size_t>(offset) > text.size()) return 0;
  const auto starts_one = [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80; };
  return static_cast<std::size_t>(
             std::ranges::count_if(text.substr(0, static_cast<std::size_t>(offset)), starts_one)) +
         1;
}

/// Collects rows; their bytes lie in chunks, each larger than the one before.
class collector {
 public:
  explicit collector(sqlite3_stmt* from) : from_(from), width_(::sqlite3_column_count(from)) {
    made_->columns.reserve(static_cast<std::size_t>(width_));
    for (int i = 0; i != width_; ++i) made_->columns.emplace_back(::sqlite3_column_name(from, i));
  }

  void take_row() {
    for (int i = 0; i != width_; ++i) take(made_->cells.add(), ::sqlite3_column_value(from_, i));
  }
  [[nodiscard]] std::shared_ptr<table> finish(std::uint64_t affected) {
    made_->affected = affected;
    return std::move(made_);
  }

 private:
  /// \param value  "Unprotected", which on a connection without a mutex is as good as another.
  void take(cell& c, sqlite3_value* value) {
    switch (::sqlite3_value_type(value)) {
      case SQLITE_INTEGER:
        c.kind = cell_kind::integer;
        c.integer = ::sqlite3_value_int64(value);
        break;
      case SQLITE_FLOAT:
        c.kind = cell_kind::real;
        c.real = ::sqlite3_value_double(value);
        break;
      case SQLITE_TEXT:
        c.kind = cell_kind::text;
        keep(c, ::sqlite3_value_text(value), value);
        break;
      case SQLITE_BLOB:
        c.kind = cell_kind::bytes;
        keep(c, ::sqlite3_value_blob(value), value);
        break;
      default:
        break;
    }
  }

  void keep(cell& c, const void* bytes, sqlite3_value* value) {
    const auto size = static_cast<std::size_t>(::sqlite3_value_bytes(value));
    c.size = static_cast<std::uint32_t>(size);
    c.bytes = "";
    if (size == 0) return;
    if (bytes == nullptr) throw std::bad_alloc();
    char* to = room_for(size);
    std::memcpy(to, bytes, size);
    c.bytes = to;
  }

  char* room_for(std::size_t size) {
    // One that is large has a chunk of its own; the one before has room.
    if (size > largest_chunk / 8) return add_chunk(size);
    if (size > left_) {
      left_ = std::max(size, chunk_size_);
      next_ = add_chunk(left_);
      chunk_size_ = std::min(2 * chunk_size_, largest_chunk);
    }
    left_ -= size;
    return std::exchange(next_, next_ + size);
  }

  char* add_chunk(std::size_t size) { return made_->owned.emplace_back(detail::make_memory(size)).get(); }

  sqlite3_stmt* const from_;
  const int width_;
  std::shared_ptr<table> made_ = std::make_shared_for_overwrite<table>();
  char* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t chunk_size_ = smallest_chunk;
};

int checked_size(std::size_t size) noexcept {
  return size > static_cast<std::size_t>(std::numeric_limits<int>::max()) ? -1 : static_cast<int>(size);
}

/// `$1` is a name to SQLite, which numbers names by their first appearance.
/// \return the places of $1, $2 and so on; none where there are others.
std::optional<std::vector<int>> places_of(sqlite3_stmt* statement) {
  const int count = ::sqlite3_bind_parameter_count(statement);
  std::vector<int> places(static_cast<std::size_t>(count), 0);
  for (int at = 1; at <= count; ++at) {
    const char* name = ::sqlite3_bind_parameter_name(statement, at);
    if (name == nullptr || *name != '$') return std::nullopt;
    const std::string_view digits(name + 1);
    std::size_t number = 0;
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its end is an argument
    const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (wrong != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    if (number == 0 || number > places.size() || std::exchange(places[number - 1], at) != 0)
      return std::nullopt;
  }
  return places;
}

bool is_blank(std::string_view text) noexcept {
  return text.find_first_not_of(" \t\r\n;") == std::string_view::npos;
}

}  // namespace

/// What ends a statement with its context, while it runs.
class session::running {
 public:
  running(session& of, const context& ctx) : of_(of) {
    of_.ctx_ = &ctx;
    if (of_.readings_ == 0) ending_.emplace(ctx, interrupt{of_.database_.get()});
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;
  ~running() {
    ending_.reset();
    of_.ctx_ = nullptr;
  }

 private:
  struct interrupt {
    sqlite3* database;
    void operator()() const noexcept { ::sqlite3_interrupt(database); }
  };

  session& of_;
  std::optional<on_done<interrupt>> ending_;
};

result<std::unique_ptr<session>> session::open(const context& ctx, const settings& how) {
  std::unique_ptr<session> made(new session(how));
  sqlite3* opened = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = ::sqlite3_open_v2(how.path.c_str(), &opened, flags, nullptr);
  made->database_.reset(opened);
  if (opened == nullptr)
    return error(std::make_error_code(std::errc::not_enough_memory), "opening " + how.path);
  if (code != SQLITE_OK) return made->failed(code, how.path, "opening");
  ::sqlite3_progress_handler(opened, steps_between_looks, &on_progress, made.get());
  ::sqlite3_busy_handler(opened, &on_busy, made.get());
  for (const std::string_view pragma :
       {"pragma journal_mode = wal", "pragma synchronous = normal", "pragma foreign_keys = on"}) {
    if (auto done = made->run(ctx, pragma, parameters()); !done) return std::move(done).error();
  }
  for (const std::string& each : how.on_connect) {
    if (auto done = made->run(ctx, each, parameters()); !done) return std::move(done).error();
  }
  if (!how.writes) {
    if (auto done = made->run(ctx, "pragma query_only = on", parameters()); !done)
      return std::move(done).error();
  }
  return made;
}

session::~session() { by_text_.clear(); }

int session::on_progress(void* self) noexcept {
  const context* ctx = static_cast<session*>(self)->ctx_;
  return ctx != nullptr && ctx->err() ? 1 : 0;
}

int session::on_busy(void* self, int times) noexcept {
  using namespace std::chrono_literals;
  session& of = *static_cast<session*>(self);
  if (of.ctx_ == nullptr) return 0;
  const auto now = clock::now();
  if (times == 0) of.busy_since_ = now;
  const auto left = of.how_.busy_timeout - (now - of.busy_since_);
  if (left <= clock::duration::zero()) return 0;
  const clock::duration pause = std::min<clock::duration>(left, times < 10 ? 1ms : 10ms);
  return sleep_for(*of.ctx_, pause) ? 1 : 0;
}

error session::failed(int code, std::string_view text, const char* phase) const {
  error_details details;
  details.sqlstate = std::to_string(code);
  details.message = ::sqlite3_errmsg(database_.get());
  details.constraint = constraint_in(details.message);
  if (code == SQLITE_ERROR) details.position = position_of(text, ::sqlite3_error_offset(database_.get()));
  return {code_of(code), shortened(text) + " : " + phase, std::move(details)};
}

result<const session::prepared*> session::prepare(std::string_view text) {
  if (!statements_.empty() && statements_.front().text == text) return &statements_.front();
  if (const auto found = by_text_.find(text); found != by_text_.end()) {
    statements_.splice(statements_.begin(), statements_, found->second);
    return &statements_.front();
  }
  const int size = checked_size(text.size());
  if (size < 0) return error(errc::too_large, "a statement of more than 2 GiB");
  sqlite3_stmt* made = nullptr;
  const char* rest = nullptr;
  const int code =  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its size is an argument
      ::sqlite3_prepare_v3(database_.get(), text.data(), size, SQLITE_PREPARE_PERSISTENT, &made, &rest);
  statement_ptr statement(made);
  if (code != SQLITE_OK) return failed(code, text, "preparing");
  if (made == nullptr) {
    return error(errc::syntax, shortened(text) + " : preparing",
                 error_details::saying("there is no statement"));
  }
  if (!is_blank({rest, static_cast<std::size_t>(text.data() + text.size() - rest)}))
    return error(errc::many_statements, shortened(text) + " : preparing");
  auto places = places_of(made);
  if (!places) {
    return error(errc::bad_parameter, shortened(text) + " : preparing",
                 error_details::saying("parameters are $1, $2 and so on, without a gap"));
  }
  statements_.push_front({std::string(text), std::move(statement), *std::move(places)});
  by_text_.emplace(statements_.front().text, statements_.begin());
  drop_old();
  return &statements_.front();
}

void session::drop_old() noexcept {
  while (statements_.size() > std::max<std::size_t>(how_.statements, 1)) {
    by_text_.erase(statements_.back().text);
    statements_.pop_back();
  }
}

result<bool> session::only_reads(std::string_view text) {
  auto statement = prepare(text);
  if (!statement) return std::move(statement).error();
  return ::sqlite3_stmt_readonly((*statement)->statement.get()) != 0;
}

result<> session::bind_one(sqlite3_stmt* statement, int at, const detail::parameter& value,
                           std::string_view text) {
  // The values outlive the statement, and no later one reads them: it binds its own first. What is made here is copied.
  if (std::holds_alternative<detail::array_value>(value) ||
      std::holds_alternative<detail::composite_value>(value)) {
    return error(
        errc::bad_parameter, shortened(text) + " : binding its parameters",
        error_details::saying(
            "SQLite has neither arrays nor composite values; send json, and read it with json_each"));
  }
  const auto bind_text = [&](std::string_view bytes, sqlite3_destructor_type life) {
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its size is an argument
    return ::sqlite3_bind_text64(statement, at, bytes.data(), bytes.size(), life, SQLITE_UTF8);
  };
  struct visitor {
    sqlite3_stmt* statement;
    int at;
    decltype(bind_text)& as_text_value;
    int operator()(detail::null_value /*none*/) const { return ::sqlite3_bind_null(statement, at); }
    int operator()(bool v) const { return ::sqlite3_bind_int(statement, at, v ? 1 : 0); }
    int operator()(std::int64_t v) const { return ::sqlite3_bind_int64(statement, at, v); }
    int operator()(double v) const { return ::sqlite3_bind_double(statement, at, v); }
    int operator()(const std::string& v) const { return as_text_value(v, SQLITE_STATIC); }
    int operator()(const bytes& v) const {
      const void* data = v.empty() ? "" : static_cast<const void*>(v.data());
      return ::sqlite3_bind_blob64(statement, at, data, v.size(), SQLITE_STATIC);
    }
    int operator()(const numeric& v) const { return as_text_value(v.text, SQLITE_STATIC); }
    int operator()(const json& v) const { return as_text_value(v.text, SQLITE_STATIC); }
    int operator()(const uuid& v) const { return as_text_value(v.text(), SQLITE_TRANSIENT); }
    int operator()(const detail::array_value& v) const { return as_text_value(v.text, SQLITE_STATIC); }
    int operator()(const detail::composite_value& v) const { return as_text_value(v.text, SQLITE_STATIC); }
    int operator()(timestamp v) const { return as_text_value(as_text(v), SQLITE_TRANSIENT); }
  };
  const int code = std::visit(visitor{statement, at, bind_text}, value);
  if (code != SQLITE_OK) return failed(code, text, "binding its parameters");
  return {};
}

result<> session::bind(const prepared& to, const parameters& with) {
  const auto& values = with.all();
  if (values.size() != to.places.size()) {
    return error(
        errc::bad_parameter, shortened(to.text) + " : binding its parameters",
        error_details::saying("the text has " + std::to_string(to.places.size()) + " parameters, and " +
                              std::to_string(values.size()) + " values are given"));
  }
  for (std::size_t i = 0; i != values.size(); ++i) {
    if (auto done = bind_one(to.statement.get(), to.places[i], values[i], to.text); !done) return done;
  }
  return {};
}

curfew::detail::open_task session::show(const context& ctx, std::string_view text) {
  static constexpr task_kind of_query{"query"};
  if (curfew::detail::task_listener() == nullptr) [[likely]]
    return {};
  return {ctx, of_query, shortened(text), ctx.origin()};
}

result<rows> session::run(const context& ctx, std::string_view text, const parameters& with) {
  const auto shown = show(ctx, text);
  const curfew::detail::working_for at_work(shown.ref());
  if (ctx.err()) return error(curfew::error::ended(ctx, shortened(text)));
  auto ready = prepare(text);
  if (!ready) return std::move(ready).error();
  const prepared& one = **ready;
  auto bound = bind(one, with);
  auto done = bound ? step(one, ctx, 0) : std::move(bound).error();
  ::sqlite3_reset(one.statement.get());  // its code is that of the last step
  return done;
}

result<std::unique_ptr<session::reading>> session::read(std::string_view text, parameters with) {
  auto ready = prepare(text);
  if (!ready) return std::move(ready).error();
  by_text_.erase((*ready)->text);
  std::list<prepared> one;
  one.splice(one.begin(), statements_, statements_.begin());
  auto made = std::make_unique<reading>(*this, std::move(one), std::move(with));
  if (auto bound = made->bind(); !bound) return std::move(bound).error();
  return made;
}

session::reading::reading(session& of, std::list<prepared> what, parameters with)
    : of_(of),
      what_(std::move(what)),
      with_(std::move(with)) {
  ++of_.readings_;
}

session::reading::~reading() {
  --of_.readings_;
  ::sqlite3_reset(what_.front().statement.get());
  const std::string_view text = what_.front().text;
  if (of_.by_text_.contains(text)) return;
  of_.statements_.splice(of_.statements_.begin(), what_);
  of_.by_text_.emplace(text, of_.statements_.begin());
  of_.drop_old();
}

result<rows> session::reading::some(const context& ctx, std::size_t most) {
  const prepared& one = what_.front();
  auto done = ctx.err() ? error(curfew::error::ended(ctx, shortened(one.text) + " : running"))
                        : of_.step(one, ctx, most);
  is_over_ = !done || done->size() < most;
  // At once: what is open is in the way of other connections.
  if (is_over_) ::sqlite3_reset(one.statement.get());
  return done;
}

result<rows> session::step(const prepared& what, const context& ctx, std::size_t most) {
  sqlite3_stmt* const statement = what.statement.get();
  const std::string_view text = what.text;
  const auto changed_before = ::sqlite3_total_changes64(database_.get());
  collector found(statement);
  std::size_t count = 0;
  int code = SQLITE_OK;
  std::optional<error> why;
  {
    const running guard(*this, ctx);
    while ((code = ::sqlite3_step(statement)) == SQLITE_ROW) {
      found.take_row();
      if (++count == most) break;
    }
    // What was interrupted or waited in vain did so because its context has ended.
    const bool may_be_ended = code == SQLITE_INTERRUPT || (code & 0xff) == SQLITE_BUSY;
    if (may_be_ended && ctx.err()) {
      why = error(curfew::error::ended(ctx, shortened(text) + " : running"));
    } else if (code != SQLITE_DONE && code != SQLITE_ROW) {
      why = failed(code, text, "running");
    }
  }
  if (why) return *std::move(why);
  const auto changed = ::sqlite3_total_changes64(database_.get()) - changed_before;
  return rows(found.finish(static_cast<std::uint64_t>(changed)));
}

bool session::clean() noexcept {
  if (!in_transaction()) return true;
  return ::sqlite3_exec(database_.get(), "rollback", nullptr, nullptr, nullptr) == SQLITE_OK &&
         !in_transaction();
}

}  // namespace curfew::sql::sqlite
