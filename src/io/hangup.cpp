#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/io/hangup.hpp>
#include <mutex>
#include <new>
#include <pthread.h>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

// One thread and one epoll descriptor watch for all scopes of the process.
//
// Invariants
//  1. A descriptor is in `watched_` while an entry for it lives, and registered with epoll for as long.
//  2. An event carries the serial number of the registration that it is for. So an event that was on its way while the
//     descriptor was closed and its number given to another ends nothing.
//  3. Each registration reports one event (EPOLLONESHOT): a descriptor that has hung up does not keep the thread busy.
//     A further entry arms it again, and the event ends all entries once more, which does nothing to the earlier ones.
//
// Locks. mutex_ guards everything but the contexts, which are canceled outside of it.

namespace curfew::detail {

struct hangup_entry : list_hook<> {
  hangup_entry(int descriptor, canceler scope) : fd(descriptor), ends(std::move(scope)) {}

  int fd;
  canceler ends;
  std::uint32_t serial = 0;
};

namespace {

[[noreturn]] void throw_errno(const char* doing) {
  throw std::system_error(errno, std::generic_category(), doing);
}

class hangup_thread {
 public:
  static hangup_thread& self() {
    static hangup_thread& made = *new hangup_thread;  // scopes of static storage may outlive any other
    static const stop_at_exit stop;
    return made;
  }

  void add(hangup_entry& e) {
    const std::lock_guard guard(mutex_);
    if (epoll_ == -1) start();
    auto [at, is_new] = watched_.try_emplace(e.fd);
    registration& its = at->second;
    if (is_new) its.serial = ++last_serial_;
    epoll_event wanted{};
    wanted.events = EPOLLRDHUP | EPOLLONESHOT;  // and EPOLLHUP, EPOLLERR, which are always reported
    wanted.data.u64 = tag(e.fd, its.serial);
    if (::epoll_ctl(epoll_, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, e.fd, &wanted) != 0) {
      if (is_new) watched_.erase(at);
      throw_errno("with_hangup");
    }
    e.serial = its.serial;
    its.entries.push_back(e);
  }

  void remove(hangup_entry& e) noexcept {
    const std::lock_guard guard(mutex_);
    const auto at = watched_.find(e.fd);
    if (at == watched_.end() || at->second.serial != e.serial) return;  // of the process that was forked
    at->second.entries.remove(e);
    if (!at->second.entries.empty()) return;
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, e.fd, nullptr);
    watched_.erase(at);
  }

 private:
  struct registration {
    std::uint32_t serial = 0;
    intrusive_list<hangup_entry> entries;
  };
  struct stop_at_exit {
    ~stop_at_exit() { self().stop(); }
  };

  static constexpr std::uint64_t stop_tag = ~std::uint64_t{0};
  static std::uint64_t tag(int fd, std::uint32_t serial) noexcept {
    return std::uint64_t{serial} << 32 | static_cast<std::uint32_t>(fd);
  }

  hangup_thread() {
    pthread_atfork([] { self().mutex_.lock(); }, [] { self().mutex_.unlock(); }, [] { self().forget(); });
  }

  void start() {
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    const int stop = ::eventfd(0, EFD_CLOEXEC);
    epoll_event told{};
    told.events = EPOLLIN;
    told.data.u64 = stop_tag;
    try {
      if (epoll == -1 || stop == -1 || ::epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &told) != 0)
        throw_errno("with_hangup");
      thread_ = std::thread([this, epoll] { run(epoll); });
    } catch (...) {
      ::close(epoll);
      ::close(stop);
      throw;
    }
    epoll_ = epoll;
    stop_ = stop;
  }

  void run(int epoll) noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);  // signals are for the program's own threads
    prctl(PR_SET_NAME, "curfew hangups");
    const cause why(std::make_error_code(std::errc::connection_reset), "the other side has hung up");
    std::array<epoll_event, 64> events;
    for (;;) {
      const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
        if (tag == stop_tag) return;
        for (const canceler& each : ended_by(tag)) each.cancel(why);
      }
    }
  }

  std::vector<canceler> ended_by(std::uint64_t event) {
    std::vector<canceler> found;
    const std::lock_guard guard(mutex_);
    const auto at = watched_.find(static_cast<int>(static_cast<std::uint32_t>(event)));
    if (at != watched_.end() && at->second.serial == event >> 32)
      at->second.entries.for_each([&](const hangup_entry& e) { found.push_back(e.ends); });
    return found;
  }

  void stop() noexcept {
    const std::unique_lock guard(mutex_);
    if (epoll_ == -1) return;
    const std::uint64_t one = 1;
    std::ignore = ::write(stop_, &one, sizeof one);
    std::thread thread = std::move(thread_);
    epoll_ = -1;
    mutex_.unlock();
    if (thread.get_id() == std::this_thread::get_id()) {
      thread.detach();  // a callback called exit
    } else {
      thread.join();
    }
    mutex_.lock();
  }

  /// In a forked child, which has no thread, and shares its epoll descriptor with the parent.
  void forget() noexcept {
    if (epoll_ != -1) {
      ::close(epoll_);
      ::close(stop_);
      epoll_ = -1;
      new (&thread_) std::thread;
      watched_.clear();
    }
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::unordered_map<int, registration> watched_;
  std::uint32_t last_serial_ = 0;
  int epoll_ = -1;  // -1: not started
  int stop_ = -1;
  std::thread thread_;
};

}  // namespace

void stop_watching::operator()(hangup_entry* entry) const noexcept {
  hangup_thread::self().remove(*entry);
  delete entry;
}

}  // namespace curfew::detail

namespace curfew {

hangup_scope::hangup_scope(cancel_scope scope, int fd) : cancel_scope(std::move(scope)) {
  auto entry = std::make_unique<detail::hangup_entry>(fd, canceler());
  detail::hangup_thread::self().add(*entry);
  watch_.reset(entry.release());
}

hangup_scope with_hangup(const context& parent, int fd, std::source_location where) {
  return {with_cancel(parent, where), fd};
}

}  // namespace curfew
