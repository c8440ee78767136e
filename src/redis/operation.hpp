#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/core/on_done.hpp>
#include <curfew/io/detail/local_handler.hpp>
#include <curfew/redis/command.hpp>
#include <curfew/redis/error.hpp>
#include <curfew/redis/reply.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace curfew::redis {

class connection;

/// What the commands of an operation have answered, one each.
using answers = result<std::vector<reply>>;
using answers_completion = curfew::detail::completion<answers>;

/// Commands that are sent together, and their answers.
///
///     fresh ──submit()──► queued ──flush()──► sent ──all answers──► done
///       └─────────────────────┴─── ctx ends ───┴──────────────────► done     what was sent stays in its connection's list, so that
///                                                                            its answers are counted off
///
/// All but `ctx` and `waiting` is guarded by the connection's mutex.
class operation {
 public:
  enum class at : std::uint8_t { fresh, queued, sent, done };

  operation(context of, std::string what, std::size_t commands)
      : ctx(std::move(of)),
        bytes(std::move(what)),
        expected(commands) {
    got.reserve(commands);
  }
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  /// "GET user:1", "GET user:1 and 2 more".
  [[nodiscard]] std::string doing() const;

  struct on_end {
    operation* of;
    void operator()() const noexcept;
  };

  const context ctx;
  std::shared_ptr<answers_completion> waiting;  // belongs to the thread that sets `done`
  std::string bytes;
  const std::size_t expected;
  std::vector<reply> got;
  at state = at::fresh;
  bool is_of_loop = false;  // its completion, of the connection's
  std::shared_ptr<connection> on;
  std::optional<on_done<on_end>> ends;  // never destroyed under a lock
  curfew::detail::open_task shown;
};

}  // namespace curfew::redis
