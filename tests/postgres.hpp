#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "program.hpp"
#include "server.hpp"

namespace curfew::tests {

namespace detail {

/// A new cluster as initdb makes it, beside the test's program: made once in a build tree, and copied by each server.
inline std::filesystem::path postgres_template(const server_user& user) {
  const std::string said =
      run({find_program("postgres"), "--version"}).text;  // "postgres (PostgreSQL) 15.20 (Debian …"
  const auto begin = said.find_first_of("0123456789");
  const std::string version = said.substr(begin, said.find_first_of(" \n", begin) - begin);
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  auto made = folder / ("postgres-" + version);
  if (std::filesystem::exists(made)) return made;
  const own_folder own(server_files());
  give_to(user, own / "");
  // Small files, since each server copies them.
  const pid_t pid = launch({find_program("initdb"), "-D", own / "data", "-U", "postgres", "-A", "trust", "-E",
                            "UTF8", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"},
                           user, own / "", own / "log");
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || status != 0)
    throw std::runtime_error("initdb: " + read_file(own / "log"));
  // Several tests may be here at a time: the first one's stays.
  const auto fresh = folder / ("postgres-" + version + ".new-" + std::to_string(::getpid()));
  std::filesystem::copy(own / "data", fresh, std::filesystem::copy_options::recursive);
  std::error_code there;
  std::filesystem::rename(fresh, made, there);
  if (there) std::filesystem::remove_all(fresh);
  return made;
}

}  // namespace detail

/// How a server runs that a test starts.
class postgres_options {
 public:
  /// Writes wait for the disk. Default: no.
  postgres_options& fsync(bool yes) { return fsync_ = yes, *this; }
  [[nodiscard]] bool fsync() const noexcept { return fsync_; }
  /// Default: 50.
  postgres_options& max_connections(int count) { return max_connections_ = count, *this; }
  [[nodiscard]] int max_connections() const noexcept { return max_connections_; }
  /// Another line of postgresql.conf: "log_statement=all".
  postgres_options& set(std::string line) { return lines_.push_back(std::move(line)), *this; }
  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }
  /// It can have standbys. Default: no.
  postgres_options& primary() { return set("wal_level=replica").set("max_wal_senders=4"); }
  /// It is a standby of that one, which runs: a copy of it that follows it.
  /// \param url  Of the primary.
  postgres_options& standby_of(std::string url) { return primary_url_ = std::move(url), primary(); }
  [[nodiscard]] const std::string& primary_url() const noexcept { return primary_url_; }

 private:
  std::string primary_url_;
  bool fsync_ = false;
  int max_connections_ = 50;
  std::vector<std::string> lines_;
};

/// A PostgreSQL server of a test's own, with a folder and a port of its own, and everybody trusted:
///
///     CURFEW_NEEDS_PROGRAMS("postgres", "initdb", "psql");
///     sql::pool db(postgres_server::shared().new_database());
///
/// It is stopped and removed at the end. One thread starts, stops and pauses it, which lives as long as it runs.
class postgres_server {
 public:
  explicit postgres_server(const postgres_options& options = {}) {
    detail::give_to(user_, folder_ / "");
    if (options.primary_url().empty()) {
      std::filesystem::copy(detail::postgres_template(user_), folder_ / "data",
                            std::filesystem::copy_options::recursive);
    } else {
      copy_primary(options.primary_url());
    }
    detail::give_to(user_, folder_ / "data");
    command_ = {find_program("postgres"), "-D", folder_ / "data"};
    auto lines = options.lines();
    lines.insert(
        lines.begin(),
        {"listen_addresses=127.0.0.1", "port=" + std::to_string(port_.number()),
         "unix_socket_directories=", "max_connections=" + std::to_string(options.max_connections()),
         std::string("fsync=") + (options.fsync() ? "on" : "off"), "shared_buffers=8MB", "max_wal_senders=0",
         "wal_level=minimal", "jit=off", "dynamic_shared_memory_type=mmap", "timezone=UTC"});
    for (auto& each : lines) command_.insert(command_.end(), {"-c", std::move(each)});
    start();
  }
  postgres_server(const postgres_server&) = delete;
  postgres_server& operator=(const postgres_server&) = delete;
  ~postgres_server() { end(SIGQUIT); }

  /// The one that the tests of a program share, which leave it as it is.
  static postgres_server& shared() {
    static postgres_server one;
    return one;
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_.number(); }
  [[nodiscard]] std::string url(std::string_view database = "postgres") const {
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port()) + '/' + std::string(database);
  }
  /// Makes a database. \return its name.
  std::string new_database_name() {
    static std::atomic<int> count{0};
    std::string name = "test" + std::to_string(++count);
    ask("create database " + name);
    return name;
  }
  /// Makes a database. \return its URL.
  std::string new_database() { return url(new_database_name()); }
  /// What psql answers: a line for each row, with '|' between its columns. Throws if that is an error.
  [[nodiscard]] std::string ask_for(const std::string& statement,
                                    const std::string& database = "postgres") const {
    auto said =
        run({find_program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url(database), "-c", statement});
    if (said.code != 0)
      throw std::runtime_error("psql ends with " + std::to_string(said.code) + ": " + statement);
    if (said.text.ends_with('\n')) said.text.pop_back();
    return said.text;
  }
  void ask(const std::string& statement, const std::string& database = "postgres") const {
    static_cast<void>(ask_for(statement, database));
  }

  /// Completes when it accepts connections.
  void start() {
    if (pid_ > 0) return;
    pid_ = detail::launch(command_, user_, folder_ / "", folder_ / "log");
    const bool ready = detail::wait_for([&] {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) {
        pid_ = -1;
        throw std::runtime_error("postgres does not start:\n" + log());
      }
      return lock_file(1) == std::to_string(pid_) && lock_file(8).starts_with("ready");
    });
    if (!ready) throw std::runtime_error("postgres does not get ready:\n" + log());
  }
  /// Connections are closed, and what runs on them is ended.
  void stop() { end(SIGINT); }
  void restart() {
    stop();
    start();
  }
  /// Kills all of its processes at once: nobody is told. start() recovers what was committed.
  void kill9() {
    if (pid_ <= 0) return;
    const std::string memory = lock_file(7);
    const auto all = freeze();
    for (const pid_t each : all) ::kill(each, SIGKILL);
    ::kill(pid_, SIGKILL);
    detail::wait_for_end(std::exchange(pid_, -1));
    for (const pid_t each : all) detail::wait_for([&] { return detail::is_dead(each); });
    paused_.clear();
    // The kernel keeps its segment, "key id", for a start that may never come.
    int key = 0;
    if (int id = -1; std::istringstream(memory) >> key >> id) ::shmctl(id, IPC_RMID, nullptr);
  }
  /// Nothing answers any more, though connections stay; until resume().
  void pause() {
    if (pid_ > 0 && paused_.empty()) paused_ = freeze();
  }
  void resume() {
    for (const pid_t each : std::exchange(paused_, {})) ::kill(each, SIGCONT);
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }

  /// The main process; -1: it does not run.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] std::string log() const { return detail::read_file(folder_ / "log"); }

 private:
  void copy_primary(const std::string& url) const {
    const auto done = run({find_program("pg_basebackup"), "-d", url, "-D", folder_ / "data",
                           "--checkpoint=fast", "--write-recovery-conf", "--no-sync"});
    if (done.code != 0) throw std::runtime_error("pg_basebackup ends with " + std::to_string(done.code));
  }
  /// Stops the main process, which could start others, and then these. \return these.
  std::vector<pid_t> freeze() {
    const auto freeze_one = [](pid_t pid) {
      ::kill(pid, SIGSTOP);
      detail::wait_for([&] { return detail::state_of(pid).letter == 'T' || detail::is_dead(pid); });
    };
    freeze_one(pid_);
    auto children = detail::children_of(pid_);
    for (const pid_t each : children) freeze_one(each);
    return children;
  }
  void end(int signal) {
    resume();
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    if (detail::wait_for_end(pid_)) {
      pid_ = -1;
    } else {
      kill9();
    }
  }
  [[nodiscard]] std::string lock_file(int line) const {
    std::ifstream file(folder_ / "data/postmaster.pid");
    std::string text;
    while (line-- > 0) {
      text.clear();
      std::getline(file, text);
    }
    return text;
  }

  own_folder folder_{detail::server_files()};
  kept_port port_;
  detail::server_user user_ = detail::find_server_user();
  std::vector<std::string> command_;
  pid_t pid_ = -1;
  std::vector<pid_t> paused_;
};

/// pgbouncer in front of a server, which it gives to a transaction at a time.
class pgbouncer {
 public:
  /// \param lines  Further lines of its configuration: "default_pool_size=1".
  explicit pgbouncer(const postgres_server& server, const std::vector<std::string>& lines = {}) {
    std::string configuration =
        "[databases]\n* = host=127.0.0.1 port=" + std::to_string(server.port()) +
        "\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=" + std::to_string(port_.number()) +
        "\nunix_socket_dir=\nauth_type=trust\nauth_file=users\npool_mode=transaction\n";
    for (const auto& each : lines) configuration += each + '\n';
    folder_.write("users", "\"postgres\" \"\"\n");
    const auto user = detail::find_server_user();
    const auto file = folder_.write("pgbouncer.ini", configuration);
    detail::give_to(user, folder_ / "");
    pid_ = detail::launch({find_program("pgbouncer"), file}, user, folder_ / "", folder_ / "log");
    const bool ready = detail::wait_for([&] {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) {
        pid_ = -1;
        throw std::runtime_error("pgbouncer does not start:\n" + log());
      }
      return accepts();
    });
    if (!ready) throw std::runtime_error("pgbouncer does not get ready:\n" + log());
  }
  pgbouncer(const pgbouncer&) = delete;
  pgbouncer& operator=(const pgbouncer&) = delete;
  ~pgbouncer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_.number(); }
  [[nodiscard]] std::string url(std::string_view database = "postgres") const {
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port()) + '/' + std::string(database);
  }
  [[nodiscard]] std::string log() const { return detail::read_file(folder_ / "log"); }

 private:
  [[nodiscard]] bool accepts() const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port());
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool yes = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return yes;
  }

  own_folder folder_{detail::server_files()};
  kept_port port_;
  pid_t pid_ = -1;
};

}  // namespace curfew::tests
