#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/core/context.hpp>
#include <curfew/http/client.hpp>
#include <expected>
#include <string>
#include <string_view>

#include "source.hpp"

namespace curfew_program {

namespace asio = boost::asio;

/// Why a console gave no answer that is of use.
struct failure {
  unsigned status = 0;  ///< Of its refusal; 0: there was no answer.
  std::string text;     ///< One line, printable: which console, what, and what to do where that is known.
};

template <class T>
using answer = std::expected<T, failure>;

/// A console as its client sees it.
///
/// All operations:
/// Completes when:  the answer is there; after 10 s without one; or ctx ends, in which case the failure says why.
/// Errors:          a refusal; an answer that is larger than `most_bytes`.
/// Lifetime:        outlives them.
class console {
 public:
  static constexpr std::size_t most_bytes = 16 * 1024 * 1024;

  explicit console(source at);

  [[nodiscard]] const source& at() const noexcept { return at_; }

  /// \param path  "/tasks?limit=10"
  asio::awaitable<answer<std::string>> async_get(curfew::context ctx, std::string path);
  /// Ends a task.
  asio::awaitable<answer<std::string>> async_cancel(curfew::context ctx, std::string id, std::string reason,
                                                    std::string token);
  /// Opens the stream of /events.
  asio::awaitable<answer<curfew::http::download>> async_follow(curfew::context ctx, unsigned limit);

  [[nodiscard]] failure failed(const curfew::error& why) const;
  [[nodiscard]] failure failed(std::string_view what) const;

 private:
  asio::awaitable<answer<std::string>> async_send(curfew::context ctx, curfew::http::request what);
  [[nodiscard]] failure refused(unsigned status, std::string_view body) const;

  const source at_;
  curfew::http::client client_;
};

}  // namespace curfew_program
