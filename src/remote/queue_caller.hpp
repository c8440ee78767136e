#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/remote/hub.hpp>
#include <curfew/remote/queue.hpp>
#include <curfew/sync/channel.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "remote/loop.hpp"
#include "remote/queue_scripts.hpp"

namespace curfew::remote {

/// The side of a queue that has jobs done: it adds them, and reads their answers from a stream of its own. That stream lives as
/// long as this process renews it: an answer is put into it only if it is there, so what a lost origin has asked for is dropped.
///
/// Invariants
///  1. A call is in waiting_ before its job is in the queue, and until it returns. An answer that finds nobody is dropped; of
///     two answers the first one counts.
///  2. The stream of answers is there before the first job is added.
class queue_caller {
 public:
  queue_caller(hub& h, std::string stream, const queue_options& options);
  queue_caller(const queue_caller&) = delete;
  queue_caller& operator=(const queue_caller&) = delete;
  ~queue_caller();

  result<std::string> run(const context& ctx, std::string job);
  boost::asio::awaitable<result<std::string>> async_run(context ctx, std::string job);
  result<std::string> post(const context& ctx, std::string job);
  boost::asio::awaitable<result<std::string>> async_post(context ctx, std::string job);

 private:
  struct call {
    channel<result<std::string>> answer{1};
  };
  /// The place of a call in waiting_.
  class place {
   public:
    explicit place(queue_caller& of);
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place();

    [[nodiscard]] const std::string& number() const noexcept { return number_; }
    [[nodiscard]] call& waits() const noexcept { return *call_; }

   private:
    queue_caller& of_;
    const std::shared_ptr<call> call_ = std::make_shared<call>();
    std::string number_;
  };

  [[nodiscard]] redis::command<std::optional<std::string>> push(const std::string& ticket,
                                                                const std::string& number,
                                                                std::string job) const;
  [[nodiscard]] static error refusal(const redis::result<std::optional<std::string>>& pushed);
  [[nodiscard]] result<std::string> outcome(const context& ctx,
                                            result<std::optional<result<std::string>>> got,
                                            const std::string& id);
  void forget(const std::string& id);

  result<> open(const context& ctx);
  boost::asio::awaitable<result<>> async_open(context ctx);
  void begin_reading(std::string after);
  boost::asio::awaitable<void> read_answers(std::string after);
  boost::asio::awaitable<void> remove(std::string id);
  boost::asio::awaitable<void> close();
  void take(const redis::stream_entry& entry);

  hub& hub_;
  redis::client& client_;
  const std::string stream_;
  const queue_options options_;
  const std::string results_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::uint64_t last_number_ = 0;
  std::unordered_map<std::string, std::shared_ptr<call>> waiting_;
  bool is_open_ = false;

  hub_loop loop_;
};

}  // namespace curfew::remote
