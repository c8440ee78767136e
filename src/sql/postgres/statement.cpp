#include "sql/postgres/statement.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <curfew/io/wait.hpp>
#include <tuple>
#include <utility>

#include "sql/postgres/drive.hpp"
#include "sql/shortened.hpp"

namespace curfew::sql::postgres {

namespace asio = boost::asio;

namespace {

constexpr task_kind of_query{"query"};

bool is_of_word(char c) noexcept { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Whether a statement only reads, as far as its words say: one that is cut off need not be waited for then. Of what is not
/// certain: no.
bool only_reads(std::string_view text) {
  static constexpr std::array<std::string_view, 6> reads{"select", "values", "table",
                                                         "show",   "with",   "explain"};
  static constexpr std::array<std::string_view, 6> writes{"insert", "update", "delete",
                                                          "merge",  "into",   "analyze"};
  const auto is_in = [](const auto& words, const std::string& word) {
    return std::ranges::find(words, word) != words.end();
  };
  bool is_first = true;
  for (std::size_t at = 0; at != text.size();) {
    if (!is_of_word(text[at])) {
      ++at;
      continue;
    }
    std::string word;
    for (; at != text.size() && is_of_word(text[at]); ++at)
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    if (is_first && !is_in(reads, word)) return false;
    if (is_in(writes, word)) return false;
    is_first = false;
  }
  return true;
}

}  // namespace

curfew::detail::open_task show(const context& ctx, std::string_view text, const std::string& database,
                               const connection& on) {
  if (curfew::detail::task_listener() == nullptr) [[likely]]
    return {};
  const std::string name = shortened(text) + " [" + database + ", " + std::to_string(on.process()) + ']';
  return {ctx, of_query, name, ctx.origin()};
}

statement::statement(loan& on, context ctx, std::string_view text, effect has) noexcept
    : on_(on),
      ctx_(std::move(ctx)),
      text_(text),
      effect_(has) {}

answered statement::run(const parameters& with, connection::how sent) {
  if (auto started = start(with, sent); !started) return {std::move(started).error(), {}};
  return finish();
}

answered statement::run(const batch& all) {
  if (ctx_.err()) return {error(curfew::error::ended(ctx_, std::string(text_))), {}};
  if (auto started = on_->start(all); !started) return {std::move(started).error(), {}};
  return finish();
}

asio::awaitable<answered> statement::async_run(const parameters& with, connection::how sent,
                                               std::uint64_t task) {
  if (auto started = start(with, sent); !started) co_return answered{std::move(started).error(), {}};
  co_return co_await async_finish(task);
}

asio::awaitable<answered> statement::async_run(const batch& all, std::uint64_t task) {
  if (ctx_.err()) co_return answered{error(curfew::error::ended(ctx_, std::string(text_))), {}};
  if (auto started = on_->start(all); !started) co_return answered{std::move(started).error(), {}};
  co_return co_await async_finish(task);
}

asio::awaitable<answered> statement::async_finish(std::uint64_t task) {
  const bool is_done = co_await async_drive(*on_, ctx_, task);
  if (is_done) co_return settled();
  const auto waits = leave();
  if (!waits) co_return left();
  curfew::detail::about_to_wait("query", task);
  std::ignore = co_await async_wait(waits->known().done());
  co_return said(*waits);
}

result<> statement::start(const parameters& with, connection::how sent) {
  if (ctx_.err()) return error(curfew::error::ended(ctx_, shortened(text_)));
  return on_->start(text_, with, sent);
}

bool statement::may_have_happened() const {
  if (!on_->was_sent()) return false;
  return effect_ == effect::some || (effect_ == effect::as_its_text_says && !only_reads(text_));
}

answered statement::finish() {
  if (drive(*on_, ctx_)) return settled();
  const auto waits = leave();
  if (!waits) return left();
  waits->known().done().wait();
  return said(*waits);
}

answered statement::settled() {
  auto done = on_->take();
  if (!done && done.error() == errc::connection_lost && may_have_happened())
    done = done.error().with(outcome::unknown);
  return {std::move(done), std::string(on_->tag()), on_->take_batch()};
}

answered statement::said(verdict& by) { return {by.take(), std::string(by.tag()), by.take_batch()}; }

std::shared_ptr<verdict> statement::leave() {
  const bool waits = may_have_happened();
  ended_ = cut_off(ctx_, on_->doing());
  if (waits) return on_.hand_over(ctx_);
  on_.give_back();
  return nullptr;
}

}  // namespace curfew::sql::postgres
