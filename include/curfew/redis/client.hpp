#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <cstddef>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/redis/command.hpp>
#include <curfew/redis/error.hpp>
#include <curfew/redis/subscription.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace curfew::redis {

/// How a client connects. Each setter returns the options, so they can be chained; the overload without an argument reads
/// the option.
class client_options {
 public:
  /// Connections of each event loop that its calls share. More than one is for large answers, which hold up those behind
  /// them. Default: 1.
  client_options& connections(std::size_t count) { return connections_ = count, *this; }
  [[nodiscard]] std::size_t connections() const noexcept { return connections_; }
  /// How long a connection may take to be made, with what is said at its beginning. Default: 5 s.
  client_options& connect_timeout(clock::duration d) { return connect_timeout_ = d, *this; }
  [[nodiscard]] clock::duration connect_timeout() const noexcept { return connect_timeout_; }
  /// How long the next attempt waits after one that has failed, and what that grows to. Default: 10 ms, 1 s.
  client_options& back_off(clock::duration first, clock::duration most) {
    return first_back_off_ = first, most_back_off_ = most, *this;
  }
  [[nodiscard]] clock::duration first_back_off() const noexcept { return first_back_off_; }
  [[nodiscard]] clock::duration most_back_off() const noexcept { return most_back_off_; }
  /// How long a command that waited in the server, and was cut off, waits for its answer then. Default: 1 s.
  client_options& grace(clock::duration d) { return grace_ = d, *this; }
  [[nodiscard]] clock::duration grace() const noexcept { return grace_; }
  /// How long the server may be silent to commands whose callers have given up, before their connection is replaced.
  /// Default: 5 s.
  client_options& silence(clock::duration d) { return silence_ = d, *this; }
  [[nodiscard]] clock::duration silence() const noexcept { return silence_; }
  /// Largest answer, in bytes: what is received, and the objects made of it. Default: 512 MB, which is Redis' own limit of a
  /// string.
  client_options& max_answer(std::size_t bytes) { return max_answer_ = bytes, *this; }
  [[nodiscard]] std::size_t max_answer() const noexcept { return max_answer_; }
  /// Messages of a subscription that wait to be received. Default: 65,536.
  client_options& max_waiting_messages(std::size_t count) { return max_waiting_messages_ = count, *this; }
  [[nodiscard]] std::size_t max_waiting_messages() const noexcept { return max_waiting_messages_; }
  /// Over rediss://: a PEM file with the certificates to trust, and no others. Default: empty, the system's: OpenSSL's
  /// directory, or what SSL_CERT_FILE and SSL_CERT_DIR name. Files are read when a connection is made: one that is of no use fails
  /// it with errc::connection_failed, which names it.
  client_options& ca_file(std::string path) { return ca_file_ = std::move(path), *this; }
  [[nodiscard]] const std::string& ca_file() const noexcept { return ca_file_; }
  /// Over rediss://: the certificate by which the client shows who it is (`tls-auth-clients`): PEM files with it and its
  /// intermediates, and with its private key. Default: none.
  client_options& client_certificate(std::string chain_file, std::string key_file) {
    client_chain_file_ = std::move(chain_file);
    client_key_file_ = std::move(key_file);
    return *this;
  }
  [[nodiscard]] const std::string& client_chain_file() const noexcept { return client_chain_file_; }
  [[nodiscard]] const std::string& client_key_file() const noexcept { return client_key_file_; }
  /// What CLIENT LIST shows of its connections. Default: nothing.
  client_options& name(std::string what) { return name_ = std::move(what), *this; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::size_t connections_ = 1;
  clock::duration connect_timeout_ = std::chrono::seconds(5);
  clock::duration first_back_off_ = std::chrono::milliseconds(10);
  clock::duration most_back_off_ = std::chrono::seconds(1);
  clock::duration grace_ = std::chrono::seconds(1);
  clock::duration silence_ = std::chrono::seconds(5);
  std::size_t max_answer_ = std::size_t{512} * 1024 * 1024;
  std::size_t max_waiting_messages_ = 65'536;
  std::string ca_file_;
  std::string client_chain_file_;
  std::string client_key_file_;
  std::string name_;
};

class client_state;

/// A Redis, and commands to it:
///
///     redis::client cache("redis://127.0.0.1:6379/0");
///     auto hits = cache.run(ctx, redis::incr("hits"));                             // result<std::int64_t>
///     if (!hits) return hits.error();
///     auto name = cache.run(ctx, redis::get("user:1:name"));                       // result<std::optional<std::string>>
///     auto both = cache.run_all(ctx, redis::get("a"), redis::hgetall("user:1"));   // in one round trip
///
/// The calls of one event loop share its connections, one behind the other: none waits for the answer of another before it
/// is sent. Those of threads that block share the connections of a thread that the client has for them. A command that waits
/// in the server (`brpop`) has a connection for itself, so it keeps no other back.
///
/// URL: `redis://[user[:password]@]host[:port][/database]`, `unix:///path?db=0`, and
/// `redis+sentinel://[user[:password]@]host[:port],host[:port]/name[/database]`, where Sentinel is asked for the master of that
/// name. With `rediss` in place of `redis` over TLS 1.2 or 1.3, to Sentinel and to the master: the server's certificate has to
/// be valid, from an authority that is trusted, and for the host of the URL, or for what Sentinel calls the master.
///
/// All calls:
/// Completes when:  the answer is there, or ctx ends. A connection that is not there is made; while none can be made, a
///                  call waits for the next attempt and fails with it.
/// Errors:          the end of ctx, with its cause; redis::errc. The error names the command and its key. Of a call that
///                  failed error::outcome() says whether it may have been carried out.
/// Cancellation:    a call whose ctx ends returns at once. A command that was not sent is not sent any more. The answer
///                  to one that was is thrown away when it comes, and reaches no other call. What waits in the server
///                  is woken there: its error says did_not_happen where nothing was taken; where something was, the call
///                  returns it, as if ctx had not ended.
/// Lifetime:        commands and the client may go once the call has begun; calls end with errc::canceled then.
/// Thread safety:   any thread, any number of calls at a time. Not in a child process after a fork.
class client {
 public:
  /// Connects at the first call.
  /// Throws: std::system_error with errc::bad_url; std::bad_alloc.
  explicit client(std::string_view url, const client_options& options = {});
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client();

  template <class T>
  [[nodiscard]] result<T> run(const context& ctx, const command<T>& what) {
    auto got = send(ctx, what.request());
    if (!got) return std::move(got).error();
    return detail::decode<T>(std::move(*got), what.request());
  }
  template <class T>
  [[nodiscard]] boost::asio::awaitable<result<T>> async_run(context ctx, command<T> what) {
    const boost::asio::any_io_executor here = co_await boost::asio::this_coro::executor;
    auto got = co_await async_send(here, std::move(ctx), what.request());
    if (!got) co_return std::move(got).error();
    co_return detail::decode<T>(std::move(got->front()), what.request());
  }

  /// Sends commands together, and waits once. Others' commands may be carried out between them.
  /// \return what each has answered, or its error. An error of all of them: no answer, or not all of them, came.
  template <class T>
  [[nodiscard]] result<std::vector<result<T>>> run_all(const context& ctx,
                                                       const std::vector<command<T>>& all) {
    return detail::decode_each<T>(send_all(ctx, detail::requests_of(all), together::no), all);
  }
  template <class T>
  [[nodiscard]] boost::asio::awaitable<result<std::vector<result<T>>>> async_run_all(
      context ctx, std::vector<command<T>> all) {
    auto got = co_await async_send_all(std::move(ctx), detail::requests_of(all), together::no);
    co_return detail::decode_each<T>(std::move(got), all);
  }
  template <class... T>
  [[nodiscard]] result<std::tuple<result<T>...>> run_all(const context& ctx, const command<T>&... each) {
    return detail::decode_tuple<T...>(send_all(ctx, {&each.request()...}, together::no), each.request()...);
  }
  template <class... T>
  [[nodiscard]] boost::asio::awaitable<result<std::tuple<result<T>...>>> async_run_all(context ctx,
                                                                                       command<T>... each) {
    detail::requests all{&each.request()...};
    auto got = co_await async_send_all(std::move(ctx), std::move(all), together::no);
    co_return detail::decode_tuple<T...>(std::move(got), each.request()...);
  }

  /// The same in a transaction (MULTI, EXEC): nothing of others is carried out between them. One that fails at its time does
  /// not keep the others from being done.
  /// Errors: errc::aborted where the server refuses one of them; none is carried out then.
  template <class... T>
  [[nodiscard]] result<std::tuple<result<T>...>> run_atomically(const context& ctx,
                                                                const command<T>&... each) {
    return detail::decode_tuple<T...>(send_all(ctx, {&each.request()...}, together::yes), each.request()...);
  }
  template <class... T>
  [[nodiscard]] boost::asio::awaitable<result<std::tuple<result<T>...>>> async_run_atomically(
      context ctx, command<T>... each) {
    detail::requests all{&each.request()...};
    auto got = co_await async_send_all(std::move(ctx), std::move(all), together::yes);
    co_return detail::decode_tuple<T...>(std::move(got), each.request()...);
  }
  template <class T>
  [[nodiscard]] result<std::vector<result<T>>> run_atomically(const context& ctx,
                                                              const std::vector<command<T>>& all) {
    return detail::decode_each<T>(send_all(ctx, detail::requests_of(all), together::yes), all);
  }
  template <class T>
  [[nodiscard]] boost::asio::awaitable<result<std::vector<result<T>>>> async_run_atomically(
      context ctx, std::vector<command<T>> all) {
    auto got = co_await async_send_all(std::move(ctx), detail::requests_of(all), together::yes);
    co_return detail::decode_each<T>(std::move(got), all);
  }

  /// Subscribes to channels, on a connection of its own. When it returns the server has confirmed all of them.
  [[nodiscard]] result<subscription> subscribe(const context& ctx, std::vector<std::string> channels);
  [[nodiscard]] boost::asio::awaitable<result<subscription>> async_subscribe(
      context ctx, std::vector<std::string> channels);

 private:
  using together = detail::together;

  result<reply> send(const context& ctx, const detail::request& what);
  /// One reply, of a command that outlives the call. \param here  The executor of the coroutine that awaits it at once.
  boost::asio::awaitable<result<std::vector<reply>>> async_send(const boost::asio::any_io_executor& here,
                                                                context ctx, const detail::request& what);
  result<std::vector<reply>> send_all(const context& ctx, const detail::requests& all, together how);
  boost::asio::awaitable<result<std::vector<reply>>> async_send_all(context ctx, detail::requests all,
                                                                    together how);

  std::shared_ptr<client_state> state_;
};

}  // namespace curfew::redis
