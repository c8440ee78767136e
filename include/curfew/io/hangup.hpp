#pragma once

#include <curfew/core/cancel_scope.hpp>
#include <curfew/core/context.hpp>
#include <memory>
#include <source_location>

namespace curfew {

class hangup_scope;

namespace detail {

/// A descriptor that the thread of src/io/hangup.cpp watches.
struct hangup_entry;
struct stop_watching {
  void operator()(hangup_entry* entry) const noexcept;
};
using hangup_watch = std::unique_ptr<hangup_entry, stop_watching>;

}  // namespace detail

/// A child of `parent` that ends, too, when the other side of a descriptor hangs up: for servers of plain threads, and
/// for pipes to child processes.
///
///     curfew::result<> serve_client(const curfew::context& ctx, int connection) {
///       auto scope = curfew::with_hangup(ctx, connection);
///       return answer(scope, connection);   // stops when the client goes away
///     }
///
/// Nothing is read: what the other side has sent before stays where it is, and the end comes all the same.
///
/// \param fd     A socket, a pipe, a terminal. Not owned, and not changed. It may be watched by several scopes.
/// \return the scope that owns the child. Keep it until before the descriptor is closed: from then on the number
///         may be another's. Once the scope is gone the descriptor is not looked at any more.
/// Ends with:      errc::canceled and the cause std::errc::connection_reset, "the other side has hung up", when the
///                 peer of a socket has closed it or shut it down for writing, all writers of a pipe are gone, or its
///                 readers are; at once, though not before this returns, if that has happened. errc::canceled on
///                 cancel(), else the parent's. The first stays.
/// Throws:         std::system_error: fd is no descriptor (EBADF), or one that cannot hang up, such as a file
///                 (EPERM); there is no descriptor or thread left for the watch. std::bad_alloc.
/// Thread safety:  any thread. Callbacks run in the one thread that watches all descriptors, which the first call of
///                 the process starts.
/// Forked children: a scope that was made before the fork does not end by a hangup there.
/// Cost:           a few allocations, two system calls.
[[nodiscard]] hangup_scope with_hangup(const context& parent, int fd,
                                       std::source_location where = std::source_location::current());

/// Owns what `with_hangup` has derived; otherwise as `cancel_scope`.
class [[nodiscard("a hangup_scope that is not kept cancels its context at once: name it")]] hangup_scope
    : private cancel_scope {
 public:
  hangup_scope(hangup_scope&&) noexcept = default;
  hangup_scope& operator=(hangup_scope&& other) noexcept {
    watch_.reset();
    cancel_scope::operator=(std::move(other));
    watch_ = std::move(other.watch_);  // NOLINT(bugprone-use-after-move): only its base has been moved from
    return *this;
  }
  ~hangup_scope() = default;

  using cancel_scope::cancel;
  using cancel_scope::canceler;
  using cancel_scope::cause;
  using cancel_scope::ctx;
  using cancel_scope::deadline;
  using cancel_scope::done;
  using cancel_scope::err;
  using cancel_scope::remaining;
  using cancel_scope::stop_token;
  using cancel_scope::value;
  using cancel_scope::operator const context&;

 private:
  friend hangup_scope with_hangup(const context& parent, int fd, std::source_location where);
  hangup_scope(cancel_scope scope, int fd);

  detail::hangup_watch watch_;  // ends before the scope does
};

}  // namespace curfew
