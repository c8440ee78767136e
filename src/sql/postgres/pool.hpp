#pragma once

#include <curfew/core/context.hpp>
#include <curfew/io/pool.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sql/database.hpp"
#include "sql/postgres/address.hpp"
#include "sql/postgres/connection.hpp"
#include "sql/postgres/copies.hpp"
#include "sql/postgres/loan.hpp"

namespace curfew::sql::postgres {

[[nodiscard]] bool is_url(std::string_view url) noexcept;

/// The connections to a server.
class pool final : public pool_state {
 public:
  /// Throws: std::system_error with errc::bad_url.
  pool(const std::string& url, const sql::pool_options& how);

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
  result<sql::listener> listen(const context& ctx, const std::string& channel) override;
  boost::asio::awaitable<result<sql::listener>> async_listen(context ctx, std::string channel) override;
  result<sql::copy_writer> copy_in(const context& ctx, std::string what) override;
  boost::asio::awaitable<result<sql::copy_writer>> async_copy_in(context ctx, std::string what) override;
  result<sql::copy_reader> copy_out(const context& ctx, std::string what) override;
  boost::asio::awaitable<result<sql::copy_reader>> async_copy_out(context ctx, std::string what) override;
  pool_stats stats() const override { return connections_.stats(); }
  void close() noexcept override;

 private:
  class transaction;
  class stream_of_rows;
  class listener;

  pool(const std::string& url, const address& at, const sql::pool_options& how);

  [[nodiscard]] std::shared_ptr<pool> self() { return std::static_pointer_cast<pool>(shared_from_this()); }
  /// For a statement of `ctx`, which runs with its settings.
  [[nodiscard]] result<loan> acquire(const context& ctx, std::string_view text);
  boost::asio::awaitable<result<loan>> async_acquire(context ctx, std::string_view text);
  [[nodiscard]] result<loan> take(const context& ctx, std::string_view text);
  static boost::asio::awaitable<result<rows>> run_on(std::shared_ptr<pool> of, context ctx, std::string what,
                                                     parameters with, detail::purpose why);
  static boost::asio::awaitable<result<std::vector<rows>>> run_batch_on(std::shared_ptr<pool> of, context ctx,
                                                                        batch all);
  static boost::asio::awaitable<result<>> warm_up_on(std::shared_ptr<pool> of, context ctx,
                                                     std::size_t count);
  static boost::asio::awaitable<result<row_stream>> stream_on(std::shared_ptr<pool> of, context ctx,
                                                              std::string what, parameters with);
  static boost::asio::awaitable<result<sql::transaction>> begin_on(std::shared_ptr<pool> of, context ctx,
                                                                   transaction_options how);

  static boost::asio::awaitable<result<sql::listener>> listen_on(std::shared_ptr<pool> of, context ctx,
                                                                 std::string channel);
  [[nodiscard]] result<copy_place> copy_on(const context& ctx, std::string_view what);
  boost::asio::awaitable<result<copy_place>> async_copy_on(context ctx, std::string_view what);
  static boost::asio::awaitable<result<sql::copy_writer>> copy_in_on(std::shared_ptr<pool> of, context ctx,
                                                                     std::string what);
  static boost::asio::awaitable<result<sql::copy_reader>> copy_out_on(std::shared_ptr<pool> of, context ctx,
                                                                      std::string what);

  const connection::settings settings_;
  const std::string database_;  // "app on 127.0.0.1:5432"
  const std::size_t size_;
  const std::function<session_settings(const context&)> wanted_by_;  // may be empty
  const std::shared_ptr<janitor> janitor_;
  connections connections_;
};

}  // namespace curfew::sql::postgres
