#include "top.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <csignal>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/io/sync.hpp>
#include <curfew/io/task_group.hpp>
#include <curfew/io/wait.hpp>
#include <curfew/io/with.hpp>
#include <curfew/sync/select.hpp>
#include <exception>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "feed.hpp"
#include "gather.hpp"
#include "lines.hpp"
#include "output.hpp"
#include "screen.hpp"
#include "tasks.hpp"

namespace curfew_program {

namespace {

using namespace std::chrono_literals;

constexpr auto least_between_draws = 40ms;
constexpr auto most_between_draws = 500ms;
constexpr auto page_every = 1s;

/// `curfew top` while it runs. All of its coroutines are in one thread, on the loop of main.
class top {
 public:
  top(const curfew::context& ctx, top_options options, std::string token)
      : until_(curfew::with_cancel(ctx)),
        consoles_(open_consoles(std::move(options.sources))),
        token_(std::move(token)),
        view_(consoles_.size(), !token_.empty()) {
    for (std::size_t i = 0; i < consoles_.size(); ++i) view_.processes[i].name = consoles_[i]->at().shown;
  }

  /// Completes when: the user quits, or ctx ends.
  asio::awaitable<void> async_run() {
    const auto executor = co_await asio::this_coro::executor;
    auto body = [&](curfew::task_group& group) -> asio::awaitable<void> {
      for (std::size_t i = 0; i < consoles_.size(); ++i) {
        auto following = [this, i](curfew::context ctx) {
          return follow(std::move(ctx), *consoles_[i], view_.processes[i], changed_);
        };
        curfew::spawn(group, executor, following);
      }
      auto drawing = [this](curfew::context ctx) { return draw(std::move(ctx)); };
      auto reading = [this](curfew::context ctx) { return read_keys(std::move(ctx)); };
      auto minding = [this](curfew::context ctx) { return mind_signals(std::move(ctx)); };
      auto loading = [this](curfew::context ctx) { return load_pages(std::move(ctx)); };
      auto ending = [this](curfew::context ctx) { return end_tasks(std::move(ctx)); };
      curfew::spawn(group, executor, drawing);
      curfew::spawn(group, executor, reading);
      curfew::spawn(group, executor, minding);
      curfew::spawn(group, executor, loading);
      curfew::spawn(group, executor, ending);
      co_return;
    };
    std::ignore = co_await curfew::async_task_group(until_.ctx(), body);
  }

 private:
  asio::awaitable<void> draw(curfew::context ctx) {
    const auto go_on = [] {};
    while (!ctx.err()) {
      terminal_.draw(view_.draw(curfew::clock::now(), terminal_.size()));
      std::ignore = co_await curfew::async_sleep_for(ctx, least_between_draws);
      curfew::case_list next;
      next.when(ctx.done(), go_on).when(changed_.ringing(), go_on);
      next.when(curfew::after(ctx, most_between_draws), go_on);
      std::ignore = co_await curfew::async_select(next);
    }
  }

  asio::awaitable<void> read_keys(curfew::context ctx) {
    // Another description of the terminal than standard input's: Asio makes it non-blocking, which the shell's must not be.
    int own = ::open("/dev/tty", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own < 0) own = ::dup(STDIN_FILENO);
    asio::posix::stream_descriptor keys(co_await asio::this_coro::executor, own);
    for (;;) {
      auto ready = co_await keys.async_wait(asio::posix::stream_descriptor::wait_read, curfew::with(ctx));
      pollfd look{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      if (!ready || ::poll(&look, 1, 0) < 0 || (look.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        until_.cancel("the terminal is gone");
        co_return;
      }
      while (const auto pressed = terminal_.next_key()) take(view_.press(*pressed));
      changed_.ring();
    }
  }

  void take(wish wanted) {
    if (wanted.quit) until_.cancel("the user quits");
    if (wanted.page_changed) page_changed_.ring();
    if (wanted.end && !endings_.try_send(*std::move(wanted.end))) view_.say("too many at once");
  }

  /// SIGINT and SIGTERM have ended ctx, see curfew::run.
  asio::awaitable<void> mind_signals(curfew::context ctx) {
    asio::signal_set signals(co_await asio::this_coro::executor, SIGHUP, SIGWINCH, SIGTSTP);
    for (;;) {
      const auto came = co_await signals.async_wait(curfew::with(ctx));
      if (!came) co_return;
      if (*came == SIGHUP) until_.cancel("SIGHUP");
      if (*came == SIGWINCH) terminal_.resized();
      if (*came == SIGTSTP) terminal_.suspend();
      changed_.ring();
    }
  }

  asio::awaitable<void> load_pages(curfew::context ctx) {
    const auto go_on = [] {};
    while (!ctx.err()) {
      const auto wanted = view_.page();
      if (wanted) {
        auto lines = co_await load(ctx, *wanted);
        view_.fill(*wanted, std::move(lines));
        changed_.ring();
      }
      curfew::case_list next;
      next.when(ctx.done(), go_on).when(page_changed_.ringing(), go_on);
      if (wanted) next.when(curfew::after(ctx, page_every), go_on);
      std::ignore = co_await curfew::async_select(next);
    }
  }

  asio::awaitable<std::vector<std::string>> load(curfew::context ctx, open_page wanted) {
    auto found = co_await async_find(ctx, consoles_, wanted.id);
    if (!found) {
      const bool over = found.error().status == 404;
      co_return std::vector<std::string>{wanted.id, over ? "It is over." : found.error().text};
    }
    std::vector<std::string> names;
    names.reserve(view_.processes.size());
    for (const auto& each : view_.processes) names.push_back(each.name);
    const auto tasks = found->around.placed();
    auto lines = show_lines(*found->around.find(wanted.id), family(tasks, wanted.id), names);
    if (!wanted.with_stack) co_return lines;
    auto& of = *consoles_[found->process];
    auto body = co_await of.async_get(ctx, "/tasks/" + wanted.id + "/stack");
    const auto stacks = body ? read_stacks(*body) : std::unexpected(body.error().text);
    lines.emplace_back();
    const auto more = stacks ? stack_lines(*stacks) : std::vector<std::string>{stacks.error()};
    lines.insert(lines.end(), more.begin(), more.end());
    co_return lines;
  }

  asio::awaitable<void> end_tasks(curfew::context ctx) {
    for (;;) {
      auto wanted = co_await curfew::async_receive(ctx, endings_);
      if (!wanted || !*wanted) co_return;
      const auto found = co_await async_find(ctx, consoles_, (*wanted)->id);
      if (found) {
        const auto& task = found->itself.task;
        auto done = co_await consoles_[found->process]->async_cancel(ctx, task.id, (*wanted)->reason, token_);
        view_.say(done ? "ended: " + label_of(task.kind, task.name) : done.error().text);
      } else {
        view_.say(found.error().text);
      }
      changed_.ring();
    }
  }

  curfew::cancel_scope until_;
  const consoles consoles_;
  const std::string token_;
  top_view view_;
  bell changed_;
  bell page_changed_;
  curfew::channel<end_request> endings_{8};
  screen terminal_;
};

}  // namespace

asio::awaitable<int> run_top(curfew::context ctx, top_options options) {
  auto token = read_token(options.token_file);
  if (!token) {
    complain(token.error());
    co_return 1;
  }
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) {
    complain("top needs a terminal; curfew ls prints the same once");
    co_return 1;
  }
  top running(ctx, std::move(options), *std::move(token));
  co_await running.async_run();
  co_return 0;
}

}  // namespace curfew_program
