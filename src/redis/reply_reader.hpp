#pragma once

#include <hiredis/hiredis.h>

#include <cstddef>
#include <curfew/redis/errc.hpp>
#include <curfew/redis/reply.hpp>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace curfew::redis {

/// Makes replies of bytes, with hiredis' parser. What it holds grows with what has been received, never with what a server
/// says is to come, and is bounded.
///
/// Thread safety: none.
class reply_reader {
 public:
  struct failure {
    errc code;
    std::string text;
  };

  /// \param max_answer  Bytes of one reply: those that were received, and those of the objects made of them. An item of four
  ///                    bytes, ":1", takes 72 in memory.
  explicit reply_reader(std::size_t max_answer);
  reply_reader(const reply_reader&) = delete;
  reply_reader& operator=(const reply_reader&) = delete;

  void feed(std::span<const char> bytes);
  /// The next reply; none: its end has not come yet. After a failure it is of no use any more.
  [[nodiscard]] std::expected<std::optional<reply>, failure> take();
  /// Has the beginning of a reply come?
  [[nodiscard]] bool is_within() const noexcept { return fed_ != 0; }

 private:
  struct free_reader {
    void operator()(redisReader* reader) const noexcept { ::redisReaderFree(reader); }
  };
  struct functions;

  /// What hiredis works at.
  struct draft {
    reply made;
    std::size_t objects = 0;  // bytes
    std::size_t most;
    bool is_too_large = false;
    bool is_too_deep = false;
  };

  std::size_t fed_ = 0;  // since the last reply
  draft draft_;          // destroyed after reader_
  const std::unique_ptr<redisReader, free_reader> reader_;
};

}  // namespace curfew::redis
