#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/clock.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <curfew/core/key.hpp>
#include <curfew/io/completion.hpp>
#include <curfew/io/extend.hpp>
#include <curfew/remote/errc.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace curfew::redis {
class client;
}

namespace curfew::remote {

namespace detail {

/// A value that crosses: by a name, as a text.
struct carried_value {
  std::string name;
  std::function<std::optional<std::string>(const context&)> read;
  std::function<std::optional<context>(const context&, std::string_view)> write;  // none: the text is refused
};

}  // namespace detail

/// What becomes of joined contexts when Redis has not answered for the time of the lease.
enum class when_away : std::uint8_t {
  end,    ///< They end with errc::hub_lost.
  go_on,  ///< They live on; what has ended meanwhile ends when Redis answers again.
};

/// How a hub works. Each setter returns the options, so they can be chained; the overload without an argument reads the
/// option.
class hub_options {
 public:
  /// How long the process may be silent before others take it for dead. It is renewed at each third of it. At least 30 ms.
  /// Default: 10 s.
  hub_options& lease(clock::duration d) { return lease_ = d, *this; }
  [[nodiscard]] clock::duration lease() const noexcept { return lease_; }
  /// Default: end.
  hub_options& redis_away(when_away what) { return redis_away_ = what, *this; }
  [[nodiscard]] when_away redis_away() const noexcept { return redis_away_; }
  /// Signs the tickets that are made here; others are refused. All hubs of a system have the same. Default: empty, which is
  /// no signature.
  hub_options& key(std::string secret) { return key_ = std::move(secret), *this; }
  [[nodiscard]] const std::string& key() const noexcept { return key_; }
  /// The most time that a joined context gets, whatever its ticket says. Default: no limit.
  hub_options& longest(clock::duration d) { return longest_ = d, *this; }
  [[nodiscard]] std::optional<clock::duration> longest() const noexcept { return longest_; }
  /// The most contexts that are shared, and joined, at a time. Default: 1,000,000 each.
  hub_options& most(std::size_t count) { return most_ = count, *this; }
  [[nodiscard]] std::size_t most() const noexcept { return most_; }
  /// Adds a value that crosses, under its key's name. Both sides say so: `share` puts it into the ticket, `join` takes it
  /// out; all other values stay where they are. Default: none.
  hub_options& carry(const curfew::key<std::string>& key);
  /// The same with a type of yours. \param read  What `write` made of a value; none: it is not one.
  template <class T>
  hub_options& carry(const curfew::key<T>& key, std::string (*write)(const T&),
                     std::optional<T> (*read)(std::string_view));
  [[nodiscard]] const std::vector<detail::carried_value>& carried() const noexcept { return carried_; }
  /// Adds a category whose codes keep their meaning as causes: `&http::http_category()`. Those of the standard library and
  /// of curfew's core, redis and remote do. The cause of another arrives as its text.
  hub_options& category(const std::error_category* known) { return categories_.push_back(known), *this; }
  [[nodiscard]] const std::vector<const std::error_category*>& categories() const noexcept {
    return categories_;
  }

 private:
  clock::duration lease_ = std::chrono::seconds(10);
  when_away redis_away_ = when_away::end;
  std::string key_;
  std::optional<clock::duration> longest_;
  std::size_t most_ = 1'000'000;
  std::vector<detail::carried_value> carried_;
  std::vector<const std::error_category*> categories_;
};

/// A context that others can join, by its ticket. It is a child of the one that was shared; destroying this ends it, and
/// with it all that have joined it.
class [[nodiscard("a shared context that is not kept ends at once: name it")]] shared {
 public:
  shared(cancel_scope scope, std::string ticket) noexcept
      : scope_(std::move(scope)),
        ticket_(std::move(ticket)) {}

  /// A short text, to put into a message of any kind; see remote::ticket.
  [[nodiscard]] const std::string& ticket() const noexcept { return ticket_; }
  /// Wait for the results of others under this one: it ends with errc::lease_lost, too.
  [[nodiscard]] const context& ctx() const& noexcept { return scope_.ctx(); }
  const context& ctx() const&& = delete;
  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }

 private:
  cancel_scope scope_;
  std::string ticket_;
};

/// Takes contexts to other machines, where no call goes: into the jobs of a queue, to a worker that takes a message.
///
///     remote::hub hub(client);
///     auto mine = hub.share(ctx);                        // here
///     if (!mine) return mine.error();
///     send_job(mine->ticket());
///
/// And there:
///
///     auto theirs = hub.join(ctx, ticket);               // ends with ctx, and when the origin ends
///     if (!theirs) return theirs.error();
///     work(*theirs);
///
/// A joined context ends within milliseconds after its origin, with its cause. It has the origin's deadline, by the clock of
/// Redis, so time in a queue counts and no clock of a machine matters. What is promised under each failure is a table:
/// docs/guide/remote.md. In short: where a process dies, is stopped or cut off, its lease runs out, and what has joined its
/// contexts ends with errc::origin_lost; if it lives on, it learns it, and what it shares ends with errc::lease_lost.
///
/// The end of a context is as ever: err() is canceled, or deadline_exceeded where its time is over; the cause says why, and is
/// one of remote::errc where the origin did not end by itself.
///
/// One hub is enough for a process: it has one lease, one subscription, and a thread, in which joined contexts, and those whose
/// lease is lost, end. Its calls may block for one answer of Redis; the first one for two more. They must not be made in callbacks of
/// contexts that end.
///
/// Lifetime:       the client outlives it. Its destructor waits up to a second for Redis. When it goes, what it shares ends with errc::lease_lost here and
///                 errc::origin_lost elsewhere; what it has joined ends with errc::hub_lost. No call may be under way.
/// Thread safety:  any thread, any number of calls at a time. Not in a child process after a fork.
class hub {
 public:
  /// Connects at the first call.
  /// Throws: std::system_error if there is no thread, or no random number; std::bad_alloc.
  explicit hub(redis::client& client, const hub_options& options = {});
  hub(const hub&) = delete;
  hub& operator=(const hub&) = delete;
  ~hub();

  /// Makes a context that can be joined.
  ///
  /// Completes when:  Redis has it, or ctx ends.
  /// Errors:          the end of ctx, with its cause; redis::errc; errc::too_many; errc::too_large.
  /// Cancellation:    nothing stays shared.
  /// Cost:            one round trip, and some 70 bytes in Redis as long as it lives.
  [[nodiscard]] result<shared> share(const context& ctx);
  template <class Token = default_token>
  auto async_share(context ctx, Token&& token = {}) {
    return extend::initiate<result<shared>>(
        std::forward<Token>(token),
        [this, ctx = std::move(ctx)](extend::handler<result<shared>> complete) mutable {
          start_share(std::move(ctx), std::move(complete));
        });
  }

  /// Makes a child of `own` that ends when the context of the ticket ends, too. Of one that has ended: one that has, with
  /// its cause, or with errc::origin_ended some time later.
  ///
  /// \param own      Gives what the ticket does not; with its values, and those of the ticket that the options name.
  /// Completes when:  Redis has answered, or own ends.
  /// Errors:          the end of own, with its cause; errc::bad_ticket; errc::too_many; redis::errc.
  /// Cost:            one round trip; for the first context of another process one more.
  [[nodiscard]] result<cancel_scope> join(const context& own, std::string_view ticket);
  template <class Token = default_token>
  auto async_join(context own, std::string ticket, Token&& token = {}) {
    return extend::initiate<result<cancel_scope>>(
        std::forward<Token>(token), [this, own = std::move(own), ticket = std::move(ticket)](
                                        extend::handler<result<cancel_scope>> complete) mutable {
          start_join(std::move(own), std::move(ticket), std::move(complete));
        });
  }

  [[nodiscard]] redis::client& client() const noexcept;
  [[nodiscard]] const hub_options& options() const noexcept;
  /// How many contexts are shared, and joined, at this moment.
  [[nodiscard]] std::size_t shared_count() const noexcept;
  [[nodiscard]] std::size_t joined_count() const noexcept;

 private:
  class impl;

  void start_share(context ctx, extend::handler<result<shared>> complete);
  void start_join(context own, std::string ticket, extend::handler<result<cancel_scope>> complete);

  std::unique_ptr<impl> impl_;
};

template <class T>
hub_options& hub_options::carry(const curfew::key<T>& key, std::string (*write)(const T&),
                                std::optional<T> (*read)(std::string_view)) {
  detail::carried_value value;
  value.name = key.name();
  value.read = [&key, write](const context& ctx) -> std::optional<std::string> {
    const T* found = ctx.value(key);
    return found != nullptr ? std::optional(write(*found)) : std::nullopt;
  };
  value.write = [&key, read](const context& ctx, std::string_view text) -> std::optional<context> {
    std::optional<T> made = read(text);
    return made ? std::optional(with_value(ctx, key, std::move(*made))) : std::nullopt;
  };
  carried_.push_back(std::move(value));
  return *this;
}

}  // namespace curfew::remote
