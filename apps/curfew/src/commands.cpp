#include "commands.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "gather.hpp"
#include "lines.hpp"
#include "output.hpp"
#include "tasks.hpp"
#include "text.hpp"

namespace curfew_program {

namespace {

constexpr int failed = 1;
constexpr int some_match = 3;

/// Prints why a console gave no answer. \return whether it gave one.
bool has_answered(const answer<std::string>& body) {
  if (!body) complain(body.error().text);
  return body.has_value();
}

/// What became of a task that is over, if a console has kept it.
asio::awaitable<std::optional<ended_task>> async_find_ended(curfew::context ctx, const consoles& all,
                                                            std::string id) {
  for (const std::string by : {"last", "dying", "slowest"}) {
    auto bodies = co_await get_from_all(ctx, all, "/ended?most=1000&by=" + by);
    for (const auto& body : bodies) {
      auto list = body ? read_ended(*body) : std::unexpected(std::string());
      if (!list) continue;
      const auto found = std::ranges::find(*list, id, &ended_task::id);
      if (found != list->end()) co_return std::move(*found);
    }
  }
  co_return std::nullopt;
}

/// Says why there is no such task; one that is over is shown.
asio::awaitable<void> explain_absence(curfew::context ctx, const consoles& all, std::string id, failure why) {
  if (why.status != 404) {
    complain(why.text);
    co_return;
  }
  const auto over = co_await async_find_ended(std::move(ctx), all, id);
  if (over) print_lines(ended_lines(*over));
  complain(over ? "the task is over" : "there is no task " + id + ": it is over, or never was");
}

asio::awaitable<int> print_stacks(curfew::context ctx, console& of, std::string id, bool as_json) {
  auto body = co_await of.async_get(std::move(ctx), "/tasks/" + id + "/stack");
  if (!has_answered(body)) co_return failed;
  const auto stacks = read_stacks(*body);
  if (!stacks) {
    complain(of.failed(stacks.error()).text);
    co_return failed;
  }
  if (as_json) {
    print_json(*body);
    co_return 0;
  }
  print_lines(std::array<std::string, 1>{});
  print_lines(stack_lines(*stacks));
  co_return 0;
}

}  // namespace

asio::awaitable<int> run_ls(curfew::context ctx, ls_options options) {
  const auto all = open_consoles(std::move(options.sources));
  std::string path = "/tasks?above=1&limit=" + std::to_string(options.limit);
  if (!options.query.empty()) path += '&' + options.query;
  auto bodies = co_await get_from_all(ctx, all, path);
  int status = 0;
  task_pool pool;
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!has_answered(bodies[i])) {
      status = failed;
      continue;
    }
    auto list = read_tasks(*bodies[i]);
    if (!list) {
      complain(all[i]->failed(list.error()).text);
      status = failed;
      continue;
    }
    if (options.json) print_json(*bodies[i]);
    if (options.check && list->matching > 0 && status == 0) status = some_match;
    if (list->matching > options.limit) {
      notes.push_back(all[i]->at().shown + ": the " + count(options.limit) + " most urgent of " +
                      count(list->matching) + "; a filter narrows them, --limit shows more");
    }
    pool.add(std::move(list->tasks), i);
  }
  if (!options.json && !pool.empty()) {
    co_await add_parents(ctx, all, pool);
    std::vector<std::string> names(1);
    if (all.size() > 1) names = co_await async_names(ctx, all);
    print_lines(ls_lines(arrange(pool.placed(), arrangement(), names), names));
  }
  for (const auto& note : notes) complain(note);
  co_return status;
}

asio::awaitable<int> run_show(curfew::context ctx, show_options options) {
  const auto all = open_consoles(std::move(options.sources));
  auto found = co_await async_find(ctx, all, options.id);
  if (!found) {
    co_await explain_absence(ctx, all, options.id, found.error());
    co_return failed;
  }
  if (options.json) {
    print_json(found->json);
  } else {
    const auto names = co_await async_names(ctx, all);
    const auto tasks = found->around.placed();
    print_lines(show_lines(*found->around.find(options.id), family(tasks, options.id), names));
  }
  if (!options.stack) co_return 0;
  co_return co_await print_stacks(ctx, *all[found->process], options.id, options.json);
}

asio::awaitable<int> run_cancel(curfew::context ctx, cancel_options options) {
  const auto token = read_token(options.token_file);
  if (!token || token->empty()) {
    complain(token ? "a token is needed: --token-file FILE, or CURFEW_TOKEN" : token.error());
    co_return failed;
  }
  const auto all = open_consoles(std::move(options.sources));
  auto found = co_await async_find(ctx, all, options.id);
  if (!found) {
    co_await explain_absence(ctx, all, options.id, found.error());
    co_return failed;
  }
  auto done = co_await all[found->process]->async_cancel(ctx, options.id, options.reason, *token);
  if (!has_answered(done)) co_return failed;
  const auto& task = found->itself.task;
  const std::array<std::string, 1> said{"ended: " + label_of(task.kind, task.name)};
  print_lines(said);
  co_return 0;
}

}  // namespace curfew_program
