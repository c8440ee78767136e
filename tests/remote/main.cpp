#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <curfew/core.hpp>
#include <curfew/redis.hpp>
#include <curfew/remote.hpp>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include "remote/other_process.hpp"

// The program of the tests, which is the other process of some of them, too.

namespace curfew::remote {
namespace {

/// Lines come from several threads.
void say(const std::string& line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::cout << line << std::endl;  // NOLINT(performance-avoid-endl): it is waited for
}

/// Says when a context ends.
class told_end {
 public:
  told_end(const context& ctx, std::string what)
      : ending_(ctx, [ctx, what = std::move(what)] {
          say("ended " + what + ": " + ctx.err().message() + " (" + ctx.cause().message() + ')');
        }) {}

 private:
  on_done<std::function<void()>> ending_;
};

/// "echo…": at once. Others: says so, and waits for the end.
result<std::string> do_job(const context& ctx, const std::string& job, const job_info& info) {
  if (job.starts_with("echo")) return job;
  say("began " + job + ' ' + std::to_string(info.attempt));
  ctx.done().wait();
  say("ended " + job + ": " + ctx.cause().message());
  return error::ended(ctx);
}

int other_process(const std::string& url, std::chrono::milliseconds lease) {
  redis::client client(url);
  auto options = hub_options().lease(lease);
  hub here(client, options);
  std::deque<shared> all_shared;
  std::deque<cancel_scope> all_joined;
  std::deque<cancel_scope> parents;
  std::deque<told_end> ends;
  std::deque<std::thread> workers;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    words >> what;
    if (what == "share") {
      int timeout = 60'000;
      words >> timeout;
      const auto number = std::to_string(all_shared.size());
      parents.push_back(with_timeout(background(), std::chrono::milliseconds(timeout)));
      auto made = here.share(parents.back());
      if (!made) {
        parents.pop_back();
        say("failed: " + made.error().message());
        continue;
      }
      all_shared.push_back(std::move(*made));
      ends.emplace_back(all_shared.back().ctx(), "shared " + number);
      say("shared " + number + ' ' + all_shared.back().ticket());
    } else if (what == "join") {
      std::string ticket;
      words >> ticket;
      const auto number = std::to_string(all_joined.size());
      auto made = here.join(background(), ticket);
      if (!made) {
        say("failed: " + made.error().message());
        continue;
      }
      all_joined.push_back(std::move(*made));
      say("joined " + number);
      ends.emplace_back(all_joined.back(), "joined " + number);
    } else if (what == "cancel") {
      std::size_t number = 0;
      std::string text;
      words >> number;
      std::getline(words >> std::ws, text);
      parents.at(number).cancel(text);
    } else if (what == "work") {
      std::string queue_name;
      words >> queue_name;
      workers.emplace_back([&here, queue_name, lease] {
        queue<std::string> jobs(here, queue_name, queue_options().job_lease(lease));
        std::ignore = jobs.work(background(), do_job, 4);
      });
      say("working");
    } else if (what == "ask") {
      std::string queue_name;
      std::string job;
      words >> queue_name >> job;
      workers.emplace_back([&here, queue_name, job, lease] {
        queue<std::string> jobs(here, queue_name, queue_options().job_lease(lease));
        const auto got = jobs.run(background(), job);
        say("answered " + (got ? *got : got.error().message()));
      });
      say("asking");
    } else if (what == "counts") {
      say("counts " + std::to_string(here.shared_count()) + ' ' + std::to_string(here.joined_count()));
    }
  }
  std::_Exit(0);  // its workers go with it
}

}  // namespace
}  // namespace curfew::remote

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == curfew::tests::other_process_argument)
    return curfew::remote::other_process(argv[2], std::chrono::milliseconds(std::atoi(argv[3])));
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
