#pragma once

#include <boost/json/object.hpp>
#include <cstddef>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <memory>
#include <string>

#include "base/change_hub.hpp"

namespace curfew_dashboard {

namespace json = boost::json;

/// What a request says about itself.
struct request_facts {
  std::string parent;  ///< The caller's id; empty if it gave none.
  std::string method;
  std::string target;
};

/// How many requests there were, and what became of them. Each that is over is in exactly one of `answered`
/// and `ended_…`; `failed` counts those of the answered whose answer was an error.
struct ledger_counters {
  std::uint64_t started = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t ended_by_client = 0;
  std::uint64_t ended_by_deadline = 0;
  std::uint64_t ended_by_shutdown = 0;
  std::uint64_t living = 0;   ///< Their work still goes on.
  std::uint64_t ignored = 0;  ///< Those of the living that nobody waits for.
  double cpu_s = 0;
  double cpu_s_unwanted = 0;  ///< Spent on requests after nobody waited for them any more.
};

/// An account of the requests of one process: which are alive, since when, which should have stopped, and what
/// that costs. A request is entered when it arrives; it lives until its answer is given or its context has
/// ended, and all work for it has come home.
///
/// Thread safety: any thread. Entries may outlive the ledger.
class ledger {
 public:
  class entry;
  class work_meter;

  /// \param service  Named in snapshots and in ids ("disk-7").
  explicit ledger(std::string service);
  ledger(const ledger&) = delete;
  ledger& operator=(const ledger&) = delete;
  ~ledger();

  /// Enters a request that lives as long as the returned entry. When `ctx` ends before the request is
  /// answered, its cause tells client, deadline and shutdown apart. `ctx` is the caller's, also where the work
  /// runs under another.
  [[nodiscard]] std::shared_ptr<entry> open(const curfew::context& ctx, request_facts facts);

  [[nodiscard]] ledger_counters counters() const;

  /// The snapshot of API.md, without "ignoring".
  /// \param recent  How many of the last ended requests to list, at most 512.
  [[nodiscard]] json::object snapshot(std::size_t recent) const;

  /// Notified when a request begins, ends or comes home.
  [[nodiscard]] change_hub& changes() const noexcept;

 private:
  struct record;
  struct books;

  std::shared_ptr<books> books_;
};

/// One request. Destroying the last reference says that all work for it has come home.
class ledger::entry {
 public:
  entry(std::shared_ptr<books> all, std::shared_ptr<record> own, const curfew::context& ctx);
  entry(const entry&) = delete;
  entry& operator=(const entry&) = delete;
  ~entry();

  [[nodiscard]] const std::string& id() const noexcept;
  /// The answer was given. Does nothing if the context has ended before.
  void answered() noexcept;
  /// The answer was given, and it was an error.
  void failed() noexcept;

 private:
  friend class work_meter;
  struct watch;

  void answer(bool as_failure) noexcept;

  std::shared_ptr<books> books_;
  std::shared_ptr<record> record_;
  std::unique_ptr<watch> watch_;  // last: it may call back until it is destroyed
};

/// While it lives, the CPU time of the thread that made it is the entry's.
class [[nodiscard]] ledger::work_meter {
 public:
  explicit work_meter(std::shared_ptr<entry> whose);
  work_meter(const work_meter&) = delete;
  work_meter& operator=(const work_meter&) = delete;
  ~work_meter();

 private:
  std::shared_ptr<entry> entry_;
  std::uint64_t number_ = 0;
};

/// The fields of `counters` as in API.md.
[[nodiscard]] json::object to_json(const ledger_counters& counters);

}  // namespace curfew_dashboard
