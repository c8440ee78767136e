#include <curfew/http/body_reader.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <curfew/http/errc.hpp>
#include <curfew/io/offload.hpp>
#include <curfew/sync/thread_pool.hpp>
#include <future>
#include <string_view>
#include <system_error>

#include "http/server/connection.hpp"
#include "http/server/request_source.hpp"
#include "http/wire/descriptor.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

using piece = result<std::optional<std::string>>;

constexpr unsigned reads_in_a_row = 16;  // then the other connections have their turn

error failed(std::errc why, const char* detail) {
  return error(std::make_error_code(why), std::string("reading the body of the request (") + detail + ')');
}

error is_over() {
  return failed(std::errc::operation_not_permitted, "it is over, or its route does not stream it");
}

error too_large(std::uint64_t most) {
  return error(make_error_code(errc::too_large),
               "reading the body of the request (more than " + std::to_string(most) + " bytes)");
}

/// The file that a body goes to: it is removed again unless it is complete.
class target_file {
 public:
  explicit target_file(std::string path) : path_(std::move(path)) {}
  target_file(const target_file&) = delete;
  target_file& operator=(const target_file&) = delete;
  ~target_file() {
    if (file_ < 0) return;
    ::close(file_);
    ::unlink(path_.c_str());
  }

  result<> open() {
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) return system_error();
    return {};
  }
  result<> write(std::string_view bytes) {
    if (!write_all(file_, bytes)) return system_error();
    return {};
  }
  result<> complete() {
    if (::close(std::exchange(file_, -1)) == 0) return {};
    auto why = system_error();
    ::unlink(path_.c_str());
    return why;
  }

 private:
  [[nodiscard]] error system_error() const {
    return error(std::error_code(errno, std::generic_category()),
                 "saving the body of the request to " + path_);
  }

  std::string path_;
  int file_ = -1;
};

/// As async_offload() in the shared pool.
template <class F>
asio::awaitable<result<>> in_a_thread(context ctx, F f) {
  auto work = async_offload(thread_pool::shared(), std::move(ctx), std::move(f));
  auto done = co_await std::move(work);
  if (!done) co_return std::unexpected(done.error());
  co_return *std::move(done);
}

template <class T>
asio::awaitable<void> carry_out(asio::awaitable<T> read, std::shared_ptr<std::promise<T>> to) {
  try {
    auto got = co_await std::move(read);
    to->set_value(std::move(got));
  } catch (...) {
    to->set_exception(std::current_exception());
  }
}

/// Has the connection's thread read, and waits.
template <class T>
T in_its_thread(const std::shared_ptr<body_reader::source>& from, asio::awaitable<T> read) {
  if (!from) return is_over();
  const auto got = std::make_shared<std::promise<T>>();
  auto future = got->get_future();
  {
    const std::lock_guard guard(from->mutex);
    if (from->io == nullptr) return is_over();
    asio::co_spawn(*from->io, carry_out(std::move(read), got), asio::detached);
  }
  return future.get();
}

}  // namespace

asio::awaitable<piece> body_reader::async_read(context ctx) const {
  const auto from = source_;  // the reader may be gone before the read is over
  if (!from || from->open == nullptr) co_return is_over();
  // A client that sends all at once lets no read wait.
  if (++from->reads % reads_in_a_row == 0) co_await asio::post(asio::use_awaitable);
  if (from->open == nullptr) co_return is_over();
  if (from->reading) {
    co_return failed(std::errc::operation_in_progress, "another read is under way");
  }
  from->reading = true;
  auto reading = from->open->read(std::move(ctx));
  auto got = co_await std::move(reading);
  from->reading = false;
  if (from->open == nullptr) co_return is_over();
  co_return got;
}

asio::awaitable<result<std::string>> body_reader::async_read_all(context ctx, std::uint64_t most) const {
  const body_reader self = *this;
  std::string all;
  for (;;) {
    auto reading = self.async_read(ctx);
    auto got = co_await std::move(reading);
    if (!got) co_return std::unexpected(got.error());
    if (!*got) co_return all;
    if ((**got).size() > most - all.size()) co_return too_large(most);
    all += **got;
  }
}

asio::awaitable<result<std::uint64_t>> body_reader::async_save(context ctx, std::string path,
                                                               std::uint64_t most) const {
  const body_reader self = *this;
  target_file file(std::move(path));
  std::optional<std::string> next;
  std::uint64_t written = 0;
  const auto open = [&file](const context&) { return file.open(); };
  auto opening = in_a_thread(ctx, open);
  auto done = co_await std::move(opening);
  for (;;) {
    if (!done) co_return std::unexpected(done.error());
    auto reading = self.async_read(ctx);
    auto got = co_await std::move(reading);
    if (!got) co_return std::unexpected(got.error());
    next = *std::move(got);
    if (!next) break;
    if (next->size() > most - written) co_return too_large(most);
    written += next->size();
    const auto write = [&file, &next](const context&) { return file.write(*next); };
    auto writing = in_a_thread(ctx, write);
    done = co_await std::move(writing);
  }
  const auto complete = [&file](const context&) { return file.complete(); };
  auto completing = in_a_thread(ctx, complete);
  done = co_await std::move(completing);
  if (!done) co_return std::unexpected(done.error());
  co_return written;
}

piece body_reader::read(const context& ctx) const { return in_its_thread(source_, async_read(ctx)); }

result<std::string> body_reader::read_all(const context& ctx, std::uint64_t most) const {
  return in_its_thread(source_, async_read_all(ctx, most));
}

result<std::uint64_t> body_reader::save(const context& ctx, const std::string& path,
                                        std::uint64_t most) const {
  target_file file(path);
  if (auto opened = file.open(); !opened) return std::unexpected(opened.error());
  std::uint64_t written = 0;
  for (;;) {
    auto got = read(ctx);
    if (!got) return std::unexpected(got.error());
    if (!*got) break;
    if ((**got).size() > most - written) return too_large(most);
    if (auto sent = file.write(**got); !sent) return std::unexpected(sent.error());
    written += (**got).size();
  }
  if (auto complete = file.complete(); !complete) return std::unexpected(complete.error());
  return written;
}

}  // namespace curfew::http
