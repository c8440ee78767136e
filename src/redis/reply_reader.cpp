#include "redis/reply_reader.hpp"

#include <cstdint>
#include <new>
#include <string>
#include <utility>

namespace curfew::redis {

/// What hiredis calls, in any of its versions, which differ in the types of lengths.
struct reply_reader::functions {
  /// Where the reply goes that hiredis has read: into the array that it is an item of.
  static void* place(const redisReadTask* task, reply what) noexcept {
    auto& whole = *static_cast<draft*>(task->privdata);
    whole.objects += sizeof(reply);
    if (whole.objects > whole.most) {
      whole.is_too_large = true;
      return nullptr;
    }
    try {
      if (task->parent == nullptr) {
        whole.made = std::move(what);
        return &whole.made;
      }
      // Grows with what has come. Only the last item may be an array that is not complete, so no other one is pointed to.
      return &static_cast<reply*>(task->parent->obj)->items().emplace_back(std::move(what));
    } catch (const std::bad_alloc&) {
      return nullptr;  // which hiredis reports
    }
  }
  static void* text(const redisReadTask* task, const char* bytes, std::size_t size) noexcept {
    auto kind = reply::kind::string;
    if (task->type == REDIS_REPLY_STATUS) kind = reply::kind::status;
    if (task->type == REDIS_REPLY_ERROR) kind = reply::kind::error;
    try {
      return place(task, reply(kind, std::string(bytes, size)));
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  static void* string(const redisReadTask* task, char* bytes, std::size_t size) noexcept {
    return text(task, bytes, size);
  }
  template <class Size>
  static void* array(const redisReadTask* task, Size /*count*/) noexcept {
    // hiredis 0.14 takes seven levels, 1.0 any: then the destructor of the reply would need a stack as deep.
    constexpr int most = 32;
    int depth = 0;
    for (const auto* outer = task->parent; outer != nullptr; outer = outer->parent) ++depth;
    if (depth >= most) {
      static_cast<draft*>(task->privdata)->is_too_deep = true;
      return nullptr;
    }
    return place(task, reply(std::vector<reply>()));
  }
  static void* integer(const redisReadTask* task, long long number) noexcept {
    return place(task, reply(static_cast<std::int64_t>(number)));
  }
  static void* nil(const redisReadTask* task) noexcept { return place(task, reply()); }
  static void* real(const redisReadTask* task, double /*value*/, char* bytes, std::size_t size) noexcept {
    return text(task, bytes, size);
  }
  static void* boolean(const redisReadTask* task, int value) noexcept { return integer(task, value); }
  static void destroy(void* /*made*/) noexcept {}  // the draft owns all of it

  template <class Table>
  static Table table() {
    Table made{};
    made.createString = &string;
    made.createArray = &array;
    made.createInteger = &integer;
    made.createNil = &nil;
    made.freeObject = &destroy;
    if constexpr (requires { made.createDouble; }) {  // 1.0: of RESP3, which is not asked for
      made.createDouble = &real;
      made.createBool = &boolean;
    }
    return made;
  }

  static redisReplyObjectFunctions* all() {
    static auto made = table<redisReplyObjectFunctions>();
    return &made;
  }
};

reply_reader::reply_reader(std::size_t max_answer)
    : draft_{.made = {}, .objects = 0, .most = max_answer, .is_too_large = false, .is_too_deep = false},
      reader_(::redisReaderCreateWithFunctions(functions::all())) {
  if (reader_ == nullptr) throw std::bad_alloc();
  reader_->privdata = &draft_;
}

void reply_reader::feed(std::span<const char> bytes) {
  fed_ += bytes.size();
  ::redisReaderFeed(reader_.get(), bytes.data(), bytes.size());  // its error is told by take()
}

std::expected<std::optional<reply>, reply_reader::failure> reply_reader::take() {
  const auto too_large = [this] {
    return std::unexpected(
        failure{errc::too_large, "an answer of more than " + std::to_string(draft_.most) + " bytes"});
  };
  void* whole = nullptr;
  if (::redisReaderGetReply(reader_.get(), &whole) != REDIS_OK) {
    if (draft_.is_too_large) return too_large();
    if (draft_.is_too_deep) return std::unexpected(failure{errc::protocol, "arrays within arrays, too many"});
    if (reader_->err == REDIS_ERR_OOM) throw std::bad_alloc();
    return std::unexpected(failure{errc::protocol, static_cast<const char*>(reader_->errstr)});
  }
  const std::size_t rest = whole == nullptr ? 0 : reader_->len - reader_->pos;
  if (fed_ - rest + draft_.objects > draft_.most) return too_large();
  if (whole == nullptr) return std::nullopt;
  fed_ = rest;
  draft_.objects = 0;
  return std::exchange(draft_.made, reply());
}

}  // namespace curfew::redis
