#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "console.hpp"
#include "forest.hpp"
#include "gather.hpp"
#include "task.hpp"

namespace curfew_program {

/// Tasks of several processes, each once.
class task_pool {
 public:
  void add(task one, std::size_t process);
  void add(std::vector<task> list, std::size_t process);
  [[nodiscard]] std::vector<placed_task> placed() const;
  [[nodiscard]] std::optional<placed_task> find(std::string_view id) const;
  /// Ids of parents that are not among them.
  [[nodiscard]] std::vector<std::string> missing() const;
  [[nodiscard]] bool empty() const { return tasks_.empty(); }

 private:
  std::vector<std::pair<task, std::size_t>> tasks_;
  std::unordered_set<std::string> known_;
};

/// Adds the parents that live in other processes, as far as they are there.
asio::awaitable<void> add_parents(curfew::context ctx, const consoles& all, task_pool& to);

/// What a process is called: "shop 4711"; its URL where it does not say.
asio::awaitable<std::vector<std::string>> async_names(curfew::context ctx, const consoles& all);

/// One task with those around it, in all processes.
struct found_task {
  std::size_t process = 0;
  std::string json;  // what its console said
  one_task itself;
  task_pool around;
};

/// Errors: those of the consoles; one with status 404 where no console has it.
asio::awaitable<answer<found_task>> async_find(curfew::context ctx, const consoles& all, std::string id);

}  // namespace curfew_program
