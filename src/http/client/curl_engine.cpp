#include "http/client/curl_engine.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "http/client/curl_transfer.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

int make_eventfd() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

CURLcode init_libraries() {
  // At exit OpenSSL would free what belongs to threads that still run: callers whose calls have just been
  // ended, lookups that were abandoned. Each frees its part a second time when it ends. Without the handler
  // the process's memory goes with the process.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  return curl_global_init(CURL_GLOBAL_DEFAULT);
}

CURLM* make_multi() {
  static const CURLcode global = init_libraries();
  CURLM* multi = global == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr)
    throw std::system_error(std::make_error_code(std::errc::not_enough_memory), "libcurl");
  return multi;
}

/// While it lives, threads that are started take no signals: they belong to the program's own threads. And a
/// SIGPIPE that a TLS library causes stays pending instead of ending the program.
class signals_blocked {
 public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

long as_long(std::size_t n) { return static_cast<long>(std::min<std::size_t>(n, 1'000'000)); }

}  // namespace

curl_engine::curl_engine(client_options options)
    : options_(std::move(options)),
      wake_(io_, make_eventfd()),
      wake_fd_(wake_.native_handle()),
      multi_(make_multi()) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &curl_engine::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &curl_engine::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, as_long(options_.max_idle_connections()));
  curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, as_long(options_.max_connections_per_host()));
}

curl_engine::~curl_engine() {
  if (multi_ != nullptr) curl_multi_cleanup(multi_);  // only where the thread could not be started
}

void curl_engine::start(const std::shared_ptr<curl_engine>& self) {
  const signals_blocked while_starting;
  const std::lock_guard guard(self->thread_mutex_);
  self->thread_ = std::thread([self] {
    pthread_setname_np(pthread_self(), "curfew-http");
    self->wait_for_inbox();
    self->io_.run();
  });
}

bool curl_engine::post(std::shared_ptr<transfer> t, wish what) noexcept {
  bool wake = false;
  {
    const std::lock_guard guard(inbox_mutex_);
    if (closed_) return false;
    if (std::exchange(t->wishes, t->wishes | what) == 0) {  // else it is in the list already
      wake = inbox_ == nullptr;
      t->inbox_next = std::move(inbox_);
      inbox_ = std::move(t);
    }
    // Under the lock: the descriptor is there until the engine's thread has seen closed_.
    if (wake) eventfd_write(wake_fd_, 1);
  }
  return true;
}

void curl_engine::close() noexcept {
  {
    const std::lock_guard guard(inbox_mutex_);
    if (!std::exchange(closed_, true)) eventfd_write(wake_fd_, 1);
  }
  const std::lock_guard guard(thread_mutex_);
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();  // a handler on an executor that runs it at once; the thread keeps the engine alive
  } else {
    thread_.join();
  }
}

void curl_engine::touch(transfer& t) {
  if (std::exchange(t.touched, true)) return;
  touched_.push_back(t.shared_from_this());
}

// What curl wants to know about its sockets and the time.

curl_engine::watched_socket::watched_socket(asio::io_context& io, curl_socket_t curls)
    : number(curls),
      duplicate(fcntl(curls, F_DUPFD_CLOEXEC, 0)),
      descriptor(io, duplicate >= 0 ? duplicate : curls) {}

curl_engine::watched_socket::~watched_socket() {
  if (duplicate < 0 && descriptor.is_open()) descriptor.release();
}

int curl_engine::on_socket(CURL* easy, curl_socket_t fd, int what, void* self, void*) noexcept {
  auto& engine = *static_cast<curl_engine*>(self);
  if (what != CURL_POLL_REMOVE) {
    engine.watch(fd, what);
    return 0;
  }
  engine.forget(fd);
  transfer* t = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t) == CURLE_OK && t != nullptr) t->socket_removed();
  return 0;
}

int curl_engine::on_timer(CURLM*, long timeout_ms, void* self) noexcept {
  static_cast<curl_engine*>(self)->set_timer(timeout_ms);
  return 0;
}

int curl_engine::on_close_socket(void* self, curl_socket_t fd) noexcept {
  static_cast<curl_engine*>(self)->forget(fd);
  return ::close(fd);
}

void curl_engine::forget(curl_socket_t fd) {
  const auto known = sockets_.find(fd);
  if (known == sockets_.end()) return;
  const socket_ptr socket = std::move(known->second);
  sockets_.erase(known);
  socket->gone = true;
  if (socket->duplicate < 0) {
    socket->descriptor.release();
  } else {
    boost::system::error_code ignored;
    socket->descriptor.close(ignored);  // it would keep the connection open
  }
}

void curl_engine::opened(curl_socket_t fd) {
  const auto known = sockets_.find(fd);
  if (known == sockets_.end()) return;
  // curl may take the two for the same socket, and not ask for the new one.
  const int wanted = known->second->wanted;
  forget(fd);
  watch(fd, wanted);
}

void curl_engine::watch(curl_socket_t fd, int what) {
  const auto known = sockets_.find(fd);
  const socket_ptr socket =
      known != sockets_.end() ? known->second
                              : sockets_.emplace(fd, std::make_shared<watched_socket>(io_, fd)).first->second;
  socket->wanted = what;
  arm(socket);
}

void curl_engine::arm(const socket_ptr& socket) {
  if ((socket->wanted & CURL_POLL_IN) != 0 && !std::exchange(socket->reading, true)) {
    socket->descriptor.async_wait(asio::posix::descriptor_base::wait_read,
                                  [this, socket](const boost::system::error_code&) {
                                    socket->reading = false;
                                    ready(socket, CURL_CSELECT_IN);
                                  });
  }
  if ((socket->wanted & CURL_POLL_OUT) != 0 && !std::exchange(socket->writing, true)) {
    socket->descriptor.async_wait(asio::posix::descriptor_base::wait_write,
                                  [this, socket](const boost::system::error_code&) {
                                    socket->writing = false;
                                    ready(socket, CURL_CSELECT_OUT);
                                  });
  }
}

void curl_engine::ready(const socket_ptr& socket, int events) {
  static_assert(CURL_CSELECT_IN == CURL_POLL_IN && CURL_CSELECT_OUT == CURL_POLL_OUT);
  if (socket->gone || (socket->wanted & events) == 0) return;
  drive(socket->number, events);
  if (!socket->gone) arm(socket);
}

void curl_engine::set_timer(long timeout_ms) {
  if (timeout_ms < 0) {
    timer_.cancel();
    return;
  }
  if (timeout_ms == 0) {  // an expired timer would cost more than a post
    timer_.cancel();
    asio::post(io_, [this] {
      if (multi_ != nullptr) drive(CURL_SOCKET_TIMEOUT, 0);
    });
    return;
  }
  timer_.expires_after(std::chrono::milliseconds(timeout_ms));
  timer_.async_wait([this](const boost::system::error_code& canceled) {
    if (!canceled && multi_ != nullptr) drive(CURL_SOCKET_TIMEOUT, 0);
  });
}

void curl_engine::drive(curl_socket_t fd, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  take_finished();
  deliver_touched();
}

// What others ask for.

void curl_engine::wait_for_inbox() {
  wake_.async_wait(asio::posix::descriptor_base::wait_read,
                   [this](const boost::system::error_code&) { empty_inbox(); });
}

void curl_engine::empty_inbox() {
  eventfd_t count = 0;
  eventfd_read(wake_fd_, &count);

  struct item {
    std::shared_ptr<transfer> t;
    unsigned wishes;
  };
  std::vector<item> items;
  bool closing = false;
  {
    const std::lock_guard guard(inbox_mutex_);
    closing = closed_;
    for (std::shared_ptr<transfer> t = std::move(inbox_); t;) {
      std::shared_ptr<transfer> next = std::move(t->inbox_next);
      const unsigned wishes = std::exchange(t->wishes, 0);
      items.push_back({std::move(t), wishes});
      t = std::move(next);
    }
  }
  for (auto i = items.rbegin(); i != items.rend(); ++i) handle(i->t, i->wishes);
  take_finished();
  deliver_touched();
  if (closing) {
    shut_down();
  } else {
    wait_for_inbox();
  }
}

void curl_engine::handle(const std::shared_ptr<transfer>& t, unsigned wishes) {
  using state_kind = transfer::state_kind;
  if ((wishes & ends) != 0) t->end_wanted = true;
  if ((wishes & drops) != 0) t->drop_wanted = true;
  if ((wishes & starts) != 0) {
    begin(t);
  } else if (t->state != state_kind::running) {
    // Not started yet: begin() will see it. Or over.
  } else if (t->end_wanted) {
    finish(t, t->ended());
  } else if (t->drop_wanted) {
    finish(t, t->failed(curfew::errc::canceled, "the download was given up"));
  } else if ((wishes & resumes) != 0) {
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
    touch(*t);  // a download may open
  }
}

void curl_engine::begin(const std::shared_ptr<transfer>& t) {
  t->state = transfer::state_kind::running;
  active_.insert(t);
  if (t->end_wanted) {
    finish(t, t->ended());
  } else if (!t->configure() || curl_multi_add_handle(multi_, t->easy) != CURLM_OK) {
    finish(t, t->failed(std::make_error_code(std::errc::not_enough_memory)));
  }
}

void curl_engine::finish(const std::shared_ptr<transfer>& t, std::optional<error> failure) {
  t->state = transfer::state_kind::over;
  t->end_body(failure);  // before the other side can see anything of it
  if (t->easy != nullptr) {
    curl_multi_remove_handle(multi_, t->easy);  // mid-way: closes the connection
    t->release_easy();
  }
  t->watch.reset();
  active_.erase(t);
  t->complete_after_source(std::move(failure));
}

void curl_engine::take_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;  // the message dies with the next call
    transfer* raw = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &raw);
    const std::shared_ptr<transfer> t = raw->shared_from_this();
    if (t->redirected()) {
      curl_multi_remove_handle(multi_, t->easy);
      t->release_easy();
      if (!t->configure() || curl_multi_add_handle(multi_, t->easy) != CURLM_OK) {
        finish(t, t->failed(std::make_error_code(std::errc::not_enough_memory)));
      }
    } else {
      finish(t, t->outcome(code));
    }
  }
}

void curl_engine::deliver_touched() {
  while (!touched_.empty()) {
    const std::vector<std::shared_ptr<transfer>> now = std::exchange(touched_, {});
    for (const std::shared_ptr<transfer>& t : now) {
      t->touched = false;
      t->deliver();
    }
  }
}

void curl_engine::shut_down() {
  while (!active_.empty()) {
    const std::shared_ptr<transfer> t = *active_.begin();
    finish(t, t->failed(curfew::errc::canceled, "the client was destroyed"));
  }
  deliver_touched();
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  while (!sockets_.empty()) forget(sockets_.begin()->first);  // none is left, if curl has said so for each
  timer_.cancel();
  wake_.close();
  // Nothing is left to wait for: run() returns when the canceled waits have been called.
}

}  // namespace curfew::http
