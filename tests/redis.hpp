#pragma once

#include <hiredis/hiredis.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "program.hpp"
#include "server.hpp"

namespace curfew::tests {

namespace detail {

/// What redis-cli would print, with a line for each element of an array, and "(nil)". Throws what is an error.
inline std::string text_of(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return std::to_string(reply.integer);
    case REDIS_REPLY_NIL:
      return "(nil)";
    case REDIS_REPLY_ERROR:
      throw std::runtime_error(std::string(reply.str, reply.len));
    case REDIS_REPLY_ARRAY: {
      std::string lines;
      for (std::size_t i = 0; i != reply.elements; ++i) {
        if (i != 0) lines += '\n';
        lines += text_of(*reply.element[i]);
      }
      return lines;
    }
    default:
      return {reply.str, reply.len};
  }
}

/// Asks by hiredis, on a Unix socket and on a connection of its own; throws what hiredis or the server complains of.
inline std::string ask_redis(const std::string& socket, const std::string& password,
                             const std::vector<std::string>& command) {
  const timeval patience{program_patience.count(), 0};
  const std::unique_ptr<redisContext, decltype(&redisFree)> server(
      redisConnectUnixWithTimeout(socket.c_str(), patience), &redisFree);
  if (server == nullptr || server->err != 0)
    throw std::runtime_error(server != nullptr ? static_cast<const char*>(server->errstr) : "no memory");
  redisSetTimeout(server.get(), patience);
  const auto ask = [&](const std::vector<std::string>& arguments) {
    std::vector<const char*> bytes;
    std::vector<std::size_t> sizes;
    for (const auto& each : arguments) bytes.push_back(each.data()), sizes.push_back(each.size());
    const std::unique_ptr<redisReply, decltype(&freeReplyObject)> reply(
        static_cast<redisReply*>(
            redisCommandArgv(server.get(), static_cast<int>(arguments.size()), bytes.data(), sizes.data())),
        &freeReplyObject);
    if (reply == nullptr) throw std::runtime_error(static_cast<const char*>(server->errstr));
    return text_of(*reply);
  };
  if (!password.empty()) ask({"AUTH", password});
  return ask(command);
}

/// A process of redis-server, with a folder and a port of its own: what a server and a sentinel have in common.
class redis_process {
 public:
  redis_process(const redis_process&) = delete;
  redis_process& operator=(const redis_process&) = delete;
  ~redis_process() { kill9(); }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_.number(); }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port()); }
  /// Asks on a connection of its own. \return what redis-cli would print, with a line for each element of an array,
  /// and "(nil)". Throws if that is an error.
  [[nodiscard]] std::string ask_for(const std::vector<std::string>& command) const {
    return ask_redis(socket(), password_, command);
  }
  void ask(const std::vector<std::string>& command) const { static_cast<void>(ask_for(command)); }
  /// A field of INFO: info("connected_clients"); empty if there is none.
  [[nodiscard]] std::string info(const std::string& field) const {
    std::istringstream all(ask_for({"INFO", "everything"}));
    for (std::string line; std::getline(all, line);) {
      if (line.starts_with(field + ':'))
        return line.substr(field.size() + 1, line.find('\r') - field.size() - 1);
    }
    return {};
  }

  /// Completes when it answers, with its data loaded.
  void start() {
    launch_only();
    wait_until_ready();
  }
  /// Completes when the process was started: it does not answer yet, or answers that it is loading.
  void launch_only() {
    if (pid_ > 0) return;
    pid_ = launch(command_, server_user(), folder_ / "", folder_ / "log", SIGKILL);
  }
  void wait_until_ready() {
    const bool ready = wait_for([&] {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) {
        pid_ = -1;
        throw std::runtime_error("redis-server does not start:\n" + log());
      }
      try {
        return ask_for({"PING"}) == "PONG";
      } catch (const std::runtime_error&) {
        return false;
      }
    });
    if (!ready) throw std::runtime_error("redis-server does not get ready:\n" + log());
  }
  /// In order: what was written is on the disk, and connections are closed.
  void stop() {
    resume();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    if (wait_for_end(pid_)) {
      pid_ = -1;
    } else {
      kill9();
    }
  }
  /// On the same port, with the same data.
  void restart() {
    stop();
    start();
  }
  /// Nobody is told. What was answered is there again after start(), unless it runs without its log.
  void kill9() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait_for_end(std::exchange(pid_, -1));
  }
  /// Nothing answers any more, though connections stay, and new ones are accepted by the kernel; until resume().
  void pause() const {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGSTOP);
    wait_for([&] { return state_of(pid_).letter == 'T' || is_dead(pid_); });
  }
  void resume() const {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }

  /// -1: it does not run.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string log() const { return read_file(folder_ / "log"); }

 protected:
  explicit redis_process(std::string password) : password_(std::move(password)) {}
  /// Writes the configuration, of which the last line of a kind counts, and starts the program with it.
  void configure(const std::vector<std::string>& lines, const std::vector<std::string>& arguments) {
    std::string configuration = "bind 127.0.0.1\nport " + std::to_string(port()) + "\nunixsocket " +
                                socket() + "\ndir " + (folder_ / "") + "\ndaemonize no\n";
    for (const auto& each : lines) configuration += each + '\n';
    command_ = {find_program("redis-server"), folder_.write("redis.conf", configuration)};
    command_.insert(command_.end(), arguments.begin(), arguments.end());
    start();
  }
  /// \return the path of a file in its folder, which it can read.
  std::string write(const std::string& name, const std::string& text) const {
    return folder_.write(name, text);
  }
  [[nodiscard]] std::string socket() const { return folder_ / "socket"; }
  [[nodiscard]] const std::string& password() const noexcept { return password_; }

 private:
  own_folder folder_{server_files()};
  kept_port port_;
  std::string password_;
  std::vector<std::string> command_;
  pid_t pid_ = -1;
};

}  // namespace detail

/// How a server runs that a test starts.
class redis_options {
 public:
  /// Clients have to name it, as those of url() do. Default: none.
  redis_options& password(std::string text) { return password_ = std::move(text), *this; }
  [[nodiscard]] const std::string& password() const noexcept { return password_; }
  /// Speaks TLS alone at its port; these are PEM. \param authority  Of clients' certificates, which are asked for; empty: none is.
  redis_options& tls(std::string chain, std::string key, std::string authority = {}) {
    tls_ = {std::move(chain), std::move(key), std::move(authority)};
    return *this;
  }
  [[nodiscard]] const std::vector<std::string>& tls() const noexcept { return tls_; }
  /// Another line of redis.conf: "maxmemory 2mb", "appendonly no", "replicaof 127.0.0.1 6379".
  redis_options& set(std::string line) { return lines_.push_back(std::move(line)), *this; }
  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }

 private:
  std::string password_;
  std::vector<std::string> tls_;
  std::vector<std::string> lines_;
};

/// A Redis server of a test's own, with a folder, a port of 127.0.0.1 and a Unix socket of its own:
///
///     CURFEW_NEEDS_PROGRAMS("redis-server");
///     redis_server server(redis_options().set("maxmemory 2mb"));
///     redis::client client(server.url());
///     EXPECT_EQ(server.ask_for({"GET", "foo"}), "bar");   // by hiredis, not by what is tested
///
/// Its append-only file is on and written before each answer, so that what was answered outlives kill9(), which the
/// machine's memory does too. It is killed and removed at the end, or when the thread ends that has started it.
/// One thread starts, stops and pauses it.
class redis_server : public detail::redis_process {
 public:
  explicit redis_server(const redis_options& options = {})
      : redis_process(options.password()),
        speaks_tls_(!options.tls().empty()) {
    std::vector<std::string> lines{"save \"\"",
                                   "appendonly yes",
                                   "appendfsync no",
                                   "auto-aof-rewrite-percentage 0",
                                   "repl-diskless-sync-delay 0",
                                   "enable-debug-command yes"};
    if (!password().empty()) lines.push_back("requirepass " + password());
    if (speaks_tls_) add_tls(options.tls(), lines);
    lines.insert(lines.end(), options.lines().begin(), options.lines().end());
    configure(lines, {});
  }

  [[nodiscard]] std::string url(int database = 0) const { return url_at(port(), database); }
  /// By way of a proxy.
  [[nodiscard]] std::string url_at(std::uint16_t port, int database = 0) const {
    const std::string user = password().empty() ? "" : ':' + password() + '@';
    return (speaks_tls_ ? "rediss://" : "redis://") + user + "127.0.0.1:" + std::to_string(port) + '/' +
           std::to_string(database);
  }
  [[nodiscard]] std::string unix_url(int database = 0) const {
    const std::string user = password().empty() ? "" : ':' + password() + '@';
    return "unix://" + user + socket() + "?db=" + std::to_string(database);
  }

 private:
  void add_tls(const std::vector<std::string>& pem, std::vector<std::string>& lines) const {
    lines.insert(lines.end(),
                 {"port 0", "tls-port " + std::to_string(port()),
                  "tls-cert-file " + write("chain.pem", pem[0]), "tls-key-file " + write("key.pem", pem[1])});
    if (pem[2].empty()) {
      lines.emplace_back("tls-auth-clients no");
    } else {
      lines.push_back("tls-ca-cert-file " + write("clients.pem", pem[2]));
    }
  }

  bool speaks_tls_;
};

/// A sentinel, which makes a replica of a server's the new primary soon after the server is gone.
///
///     redis_server primary;
///     redis_server replica(redis_options().set("replicaof 127.0.0.1 " + std::to_string(primary.port())));
///     redis_sentinel sentinel(primary);
///     sentinel.wait_for_replicas(1);    // it finds them through the primary
///     primary.kill9();
///     sentinel.wait_for_primary(replica.port());
class redis_sentinel : public detail::redis_process {
 public:
  /// \param name   What it calls the server.
  /// \param lines  Further lines of its configuration.
  explicit redis_sentinel(const redis_server& primary, const std::string& name = "primary",
                          const std::vector<std::string>& lines = {})
      : redis_process({}),
        name_(name) {
    std::vector<std::string> all{
        "sentinel monitor " + name + " 127.0.0.1 " + std::to_string(primary.port()) + " 1",
        "sentinel down-after-milliseconds " + name + " 500", "sentinel failover-timeout " + name + " 5000"};
    all.insert(all.end(), lines.begin(), lines.end());
    configure(all, {"--sentinel"});
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// False: that takes longer than any server needs.
  [[nodiscard]] bool wait_for_replicas(std::size_t count) const {
    return detail::wait_for([&] { return field("num-slaves") == std::to_string(count) && knows_them(); });
  }
  [[nodiscard]] bool wait_for_primary(std::uint16_t port) const {
    return detail::wait_for([&] {
      return ask_for({"SENTINEL", "get-master-addr-by-name", name_}) == "127.0.0.1\n" + std::to_string(port);
    });
  }

 private:
  [[nodiscard]] std::string field(const std::string& name) const {
    std::istringstream all(ask_for({"SENTINEL", "master", name_}));
    for (std::string key, value; std::getline(all, key) && std::getline(all, value);) {
      if (key == name) return value;
    }
    return {};
  }
  /// It has heard of each replica that its link to the primary is up: without that none can be promoted.
  [[nodiscard]] bool knows_them() const {
    const auto all = ask_for({"SENTINEL", "replicas", name_});
    return all.find("master-link-status\nok") != std::string::npos &&
           all.find("master-link-status\nerr") == std::string::npos;
  }

  std::string name_;
};

}  // namespace curfew::tests
