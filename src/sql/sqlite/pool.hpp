#pragma once

#include <curfew/core/context.hpp>
#include <curfew/io/pool.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sql/database.hpp"
#include "sql/sqlite/session.hpp"

namespace curfew::sql::sqlite {

/// "shop.db" of "sqlite:shop.db"; empty if it is none.
[[nodiscard]] std::string_view path_of(std::string_view url) noexcept;

/// The connections to a file: several that read, and one that writes; a database in memory has one for all.
class pool final : public pool_state {
 public:
  pool(std::string path, const sql::pool_options& how);

  result<rows> run(const context& ctx, std::string_view what, const parameters& with,
                   detail::purpose why) override;
  boost::asio::awaitable<result<rows>> async_run(context ctx, std::string what, parameters with,
                                                 detail::purpose why) override;
  result<std::vector<rows>> run_batch(const context& ctx, const batch& all) override;
  boost::asio::awaitable<result<std::vector<rows>>> async_run_batch(context ctx, batch all) override;
  result<row_stream> stream(const context& ctx, std::string what, parameters with) override;
  boost::asio::awaitable<result<row_stream>> async_stream(context ctx, std::string what,
                                                          parameters with) override;
  result<sql::transaction> begin(const context& ctx, const transaction_options& how) override;
  boost::asio::awaitable<result<sql::transaction>> async_begin(context ctx, transaction_options how) override;
  result<> warm_up(const context& ctx, std::size_t count) override;
  boost::asio::awaitable<result<>> async_warm_up(context ctx, std::size_t count) override;
  pool_stats stats() const override;
  void close() noexcept override;

 private:
  class transaction;
  class stream_of_rows;
  using session_ptr = std::unique_ptr<session>;
  using sessions = curfew::pool<session_ptr>;
  using lease = sessions::lease;

  [[nodiscard]] std::shared_ptr<pool> self() { return std::static_pointer_cast<pool>(shared_from_this()); }
  [[nodiscard]] session::settings settings(bool reads) const;
  /// Those for a statement that reads, or writes.
  [[nodiscard]] sessions& kind(bool reads) noexcept { return reads && !is_in_memory_ ? readers_ : writer_; }

  /// \param text  Of what waits for it.
  [[nodiscard]] result<lease> acquire(const context& ctx, bool reads, std::string_view text);
  boost::asio::awaitable<result<lease>> async_acquire(context ctx, bool reads, std::string_view text);
  [[nodiscard]] std::optional<bool> known_to_read(std::string_view text) const;
  void learn(std::string_view text, bool reads);
  /// Gives a connection back, rolled back where it has to be: in a thread of the pool, since that may wait.
  void clean_up(lease&& used) noexcept;
  static void give_back(lease used) noexcept;
  static boost::asio::awaitable<result<rows>> run_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                                     parameters with);
  static boost::asio::awaitable<result<std::vector<rows>>> run_batch_on(std::shared_ptr<pool> of, context ctx,
                                                                        batch all);
  static boost::asio::awaitable<result<>> warm_up_on(std::shared_ptr<pool> of, context ctx,
                                                     std::size_t count);
  static boost::asio::awaitable<result<row_stream>> stream_on(std::shared_ptr<pool> of, context ctx,
                                                              std::string what, parameters with);
  static boost::asio::awaitable<result<sql::transaction>> begin_on(std::shared_ptr<pool> of, context ctx,
                                                                   transaction_options how);

  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };

  const sql::pool_options options_;
  const std::string path_;
  const bool is_in_memory_;
  sessions readers_;
  sessions writer_;
  mutable std::mutex mutex_;
  // Guarded by mutex_: which statements only read.
  std::unordered_map<std::string, bool, text_hash, std::equal_to<>> routes_;
  thread_pool threads_;  // last: its destructor waits for what uses the rest
};

}  // namespace curfew::sql::sqlite
