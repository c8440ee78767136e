#pragma once

#include <curfew/core/detail/intrusive_list.hpp>
#include <curfew/core/error.hpp>
#include <curfew/http/client.hpp>
#include <curfew/tls/detail/client_trust.hpp>
#include <memory>
#include <mutex>
#include <vector>

#include "http/client/client_pool.hpp"
#include "http/client/proxies.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

struct of_client;  // tells the list of a client's activities from others

/// Something that a client's end ends.
class client_activity : public detail::list_hook<of_client> {
 public:
  virtual ~client_activity() = default;
  virtual void client_gone() noexcept = 0;
  /// The activity, while something still owns it.
  virtual std::shared_ptr<client_activity> owned() noexcept = 0;
};

/// What the calls of one client share; it lives as long as one of them does.
/// Thread safety: any thread. Lock order: a call's lock, then those of the pool, of a loop, and this one: leaves.
class client_state {
 public:
  explicit client_state(client_options o);
  client_state(const client_state&) = delete;
  client_state& operator=(const client_state&) = delete;

  /// \return false once the client is gone.
  bool enlist(client_activity& one) noexcept;
  void delist(client_activity& one) noexcept;

  /// For https://; made at the first use that succeeds.
  /// \param why  Set where the result is null: which file is of no use, and why.
  std::shared_ptr<const tls::client_trust> trust(std::string& why);

  /// A loop for a thread that waits, and back.
  /// Throws: std::system_error if the system gives no descriptor.
  std::shared_ptr<loop> borrow_loop();
  void give_back(std::shared_ptr<loop> one);

  /// Ends what is under way, and closes what is kept.
  void close() noexcept;

  const client_options options;
  const proxy_rules proxies;
  const std::shared_ptr<client_pool> pool;

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  bool closed_ = false;
  detail::intrusive_list<client_activity, of_client> activities_;
  std::vector<std::shared_ptr<loop>> loops_;

  std::mutex trust_mutex_;                          // held while files are read
  std::shared_ptr<const tls::client_trust> trust_;  // guarded by trust_mutex_
};

}  // namespace curfew::http
