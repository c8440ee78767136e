#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/io/detail/resolver.hpp>
#include <curfew/io/wait.hpp>
#include <iterator>
#include <new>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

namespace curfew::detail {

namespace asio = boost::asio;
namespace ip = asio::ip;

namespace {

struct outcome {
  resolver::answer what;
  bool is_final = false;  // asking again would give the same
};

ip::address address_of(const sockaddr* from) {
  if (from->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, from, sizeof v6);
    ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return ip::address_v6(bytes, v6.sin6_scope_id);
  }
  sockaddr_in v4{};
  std::memcpy(&v4, from, sizeof v4);
  return ip::address_v4(ntohl(v4.sin_addr.s_addr));
}

/// The families in turn, beginning with that of the first; each keeps its order. No more than are tried.
resolver::addresses interleaved(const resolver::addresses& sorted) {
  resolver::addresses mixed;
  const bool first = sorted.front().is_v6();
  const auto next_of = [&sorted](resolver::addresses::const_iterator from, bool v6) {
    return std::find_if(from, sorted.end(), [v6](const ip::address& a) { return a.is_v6() == v6; });
  };
  auto one = next_of(sorted.begin(), first);
  auto other = next_of(sorted.begin(), !first);
  while (one != sorted.end() || other != sorted.end()) {
    if (one != sorted.end()) {
      mixed.push_back(*one);
      one = next_of(std::next(one), first);
    }
    if (other != sorted.end()) {
      mixed.push_back(*other);
      other = next_of(std::next(other), !first);
    }
  }
  if (mixed.size() > resolver::most_addresses) mixed.resize(resolver::most_addresses);
  return mixed;
}

error no_such_name(std::string detail = {}) {
  return error(asio::error::make_error_code(asio::error::host_not_found), std::move(detail));
}

outcome failed(int code, int system_error) {
  switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return {no_such_name(), true};
    case EAI_AGAIN:
      return {error(std::make_error_code(std::errc::resource_unavailable_try_again), ::gai_strerror(code))};
    case EAI_SYSTEM:
      return {error(std::error_code(system_error, std::generic_category()))};
    case EAI_MEMORY:
      return {error(std::make_error_code(std::errc::not_enough_memory))};
    default:
      return {no_such_name(::gai_strerror(code))};
  }
}

/// Asks the system, for as long as it takes.
outcome ask(const std::string& host) noexcept try {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_ADDRCONFIG;
  addrinfo* first = nullptr;
  const int code = ::getaddrinfo(host.c_str(), nullptr, &wanted, &first);
  if (code != 0) return failed(code, errno);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(first, &::freeaddrinfo);
  resolver::addresses found;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    const ip::address a = address_of(each->ai_addr);
    if (std::ranges::find(found, a) == found.end()) found.push_back(a);
  }
  if (found.empty()) return failed(EAI_NODATA, 0);
  return {std::make_shared<const resolver::addresses>(interleaved(found)), true};
} catch (const std::bad_alloc&) {
  return failed(EAI_MEMORY, 0);
}

}  // namespace

struct resolver::waiter : list_hook<>, std::enable_shared_from_this<waiter> {
  waiter(resolver& by, listener wants) : of(by), later(std::move(wants)) {}

  resolver& of;
  listener later;
  lookup* in = nullptr;       // whose answer it waits for; guarded by of.mutex_, as all below
  std::thread::id called_by;  // while it is called
  unsigned process = 0;
};

struct resolver::lookup : list_hook<> {
  explicit lookup(std::string name) : host(std::move(name)) {}

  const std::string host;
  intrusive_list<waiter> waiters;
};

resolver::resolver(const limits& limit) : limits_(limit) {}

resolver& resolver::shared() {
  // A fork in another thread may come before `made` is there: its handlers wait in shared().
  static resolver* const made = [] {
    auto* const one = new resolver(limits{});
    pthread_atfork([] { shared().mutex_.lock(); }, [] { shared().mutex_.unlock(); },
                   [] { shared().forget_threads(); });
    return one;
  }();
  return *made;
}

std::optional<resolver::answer> resolver::find(const std::string& host, ticket& t, listener later) {
  t.drop();
  // Longer than any name of DNS, or more than the C library would read of it.
  constexpr std::size_t longest_name = 255;
  if (host.empty() || host.size() > longest_name || host.contains('\0')) return no_such_name();
  boost::system::error_code no_address;
  if (const ip::address literal = ip::make_address(host, no_address); !no_address)
    return std::make_shared<const addresses>(1, literal);

  auto added = std::make_shared<waiter>(*this, std::move(later));
  const std::lock_guard guard(mutex_);
  if (const auto at = known_.find(host); at != known_.end()) {
    if (limits_.now() < at->second.until) return at->second.what;
    known_.erase(at);
  }
  auto [at, is_new] = under_way_.try_emplace(host);
  if (is_new) {
    std::optional<error> refused;
    try {
      at->second = std::make_unique<lookup>(host);
      refused = begin(*at->second);
    } catch (...) {
      under_way_.erase(at);
      throw;
    }
    if (refused) {
      under_way_.erase(at);
      return *std::move(refused);
    }
  }
  added->in = at->second.get();
  added->process = process_;
  added->in->waiters.push_back(*added);
  t.waiter_ = std::move(added);
  return std::nullopt;
}

/// Gives it a thread, or a place in the queue.
std::optional<error> resolver::begin(lookup& one) {
  const clock::time_point now = limits_.now();
  if (threads_ == limits_.threads) {
    if (now - last_begun_ >= limits_.patience) {
      return error(std::make_error_code(std::errc::resource_unavailable_try_again),
                   std::to_string(threads_) + " lookups hang");
    }
    queue_.push_back(one);
    return std::nullopt;
  }
  try {
    std::thread([this, &one] { run(&one); }).detach();
  } catch (const std::system_error& e) {
    return error(e.code(), "no thread for the lookup");
  }
  ++threads_;
  last_begun_ = now;
  return std::nullopt;
}

void resolver::run(lookup* one) noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // signals are for the program's own threads
  prctl(PR_SET_NAME, "curfew lookup");
  while (one != nullptr) {
    const outcome got = ask(one->host);
    {
      std::unique_lock lock(mutex_);
      const auto done = under_way_.extract(one->host);
      if (got.is_final) keep(one->host, got.what, got.what ? limits_.keep : limits_.keep_missing);
      lock.unlock();
      deliver(*one, got.what);
    }
    const std::lock_guard guard(mutex_);
    one = queue_.pop_front();
    if (one != nullptr) {
      last_begun_ = limits_.now();
    } else {
      --threads_;
    }
  }
}

void resolver::deliver(lookup& one, const answer& what) {
  std::unique_lock lock(mutex_);
  while (waiter* const next = one.waiters.pop_front()) {
    const std::shared_ptr<waiter> held = next->shared_from_this();
    held->in = nullptr;
    held->called_by = std::this_thread::get_id();
    lock.unlock();
    {
      listener later = std::move(held->later);
      later(what);
    }
    lock.lock();
    held->called_by = {};
    called_.notify_all();
  }
}

void resolver::keep(const std::string& host, const answer& what, clock::duration time) {
  const clock::time_point now = limits_.now();
  if (known_.size() >= limits_.names)
    std::erase_if(known_, [now](const auto& e) { return e.second.until <= now; });
  if (known_.size() >= limits_.names) {
    known_.erase(std::ranges::min_element(known_, {}, [](const auto& e) { return e.second.until; }));
  }
  known_.insert_or_assign(host, known{what, now + time});
}

void resolver::drop(waiter& one) noexcept {
  std::unique_lock lock(mutex_);
  if (one.process != process_) return;
  if (lookup* const in = std::exchange(one.in, nullptr); in != nullptr) {
    in->waiters.remove(one);
    if (in->waiters.empty() && queue_.remove(*in)) under_way_.erase(in->host);
    return;
  }
  const std::thread::id here = std::this_thread::get_id();
  called_.wait(lock, [&] { return one.called_by == std::thread::id() || one.called_by == here; });
}

/// In a forked child, where none is left. What they were about to answer stays theirs.
void resolver::forget_threads() noexcept {
  while (queue_.pop_front() != nullptr) {
  }
  under_way_.clear();
  threads_ = 0;
  ++process_;
  new (&called_) std::condition_variable;
  mutex_.unlock();
}

resolver::ticket& resolver::ticket::operator=(ticket&& other) noexcept {
  if (this != &other) {
    drop();
    waiter_ = std::move(other.waiter_);
  }
  return *this;
}

void resolver::ticket::drop() noexcept {
  if (const auto one = std::exchange(waiter_, nullptr); one != nullptr) one->of.drop(*one);
}

namespace {

/// One caller's.
class search {
 public:
  search(const context& ctx, const std::string& host) : over_(with_cancel(ctx)) {
    const auto told = [this](const resolver::answer& found) {
      what_ = found;
      over_.cancel();
    };
    auto known = resolver::shared().find(host, place_, told);
    if (known) told(*known);
  }

  /// Ends with the answer, or with the caller's context.
  [[nodiscard]] const context& over() const noexcept { return over_.ctx(); }
  [[nodiscard]] resolver::answer take(const context& ctx) {
    place_.drop();
    if (what_) return *std::move(what_);
    if (ctx.err()) return error::ended(ctx);
    return error(errc::canceled);
  }

 private:
  cancel_scope over_;
  std::optional<resolver::answer> what_;  // the listener's, until the place is dropped
  resolver::ticket place_;
};

constexpr const char* shown_wait = "addresses of a name";

}  // namespace

resolver::answer resolve(const context& ctx, const std::string& host) {
  if (ctx.err()) return error::ended(ctx);
  search one(ctx, host);
  const waiting_for shown(shown_wait);
  one.over().done().wait();
  return one.take(ctx);
}

asio::awaitable<resolver::answer> async_resolve(context ctx, std::string host) {
  if (ctx.err()) co_return error::ended(ctx);
  search one(ctx, host);
  if (!one.over().err()) {
    about_to_wait(shown_wait);
    std::ignore = co_await async_wait(one.over().done());
  }
  co_return one.take(ctx);
}

}  // namespace curfew::detail
