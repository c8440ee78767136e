#pragma once

#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/sync/channel.hpp>
#include <iterator>
#include <optional>
#include <utility>

namespace curfew {

/// The items of a channel until it is closed and drained, or ctx ends:
///
///     for (auto item : curfew::drain(ctx, lines)) use(item);
///     if (ctx.err()) return curfew::error::ended(ctx);   // else it is closed and drained
///
/// Lifetime: ctx and the channel outlive it. Thread safety: one thread; several may each drain one channel.
template <class T>
class drain {
 public:
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    explicit iterator(drain& from) : from_(&from) { ++*this; }
    T&& operator*() const noexcept { return std::move(*from_->item_); }
    iterator& operator++() {
      auto next = from_->channel_.receive(from_->ctx_);
      from_->item_.reset();
      if (next && *next) from_->item_.emplace(std::move(**next));
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& a, std::default_sentinel_t /*end*/) noexcept {
      return a.is_over();
    }

   private:
    [[nodiscard]] bool is_over() const noexcept { return !from_->item_.has_value(); }

    drain* from_;
  };

  drain(const context& ctx, channel<T>& from) noexcept : ctx_(ctx), channel_(from) {}
  drain(const drain&) = delete;
  drain& operator=(const drain&) = delete;

  [[nodiscard]] iterator begin() { return iterator(*this); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  const context& ctx_;
  channel<T>& channel_;
  std::optional<T> item_;
};

}  // namespace curfew
