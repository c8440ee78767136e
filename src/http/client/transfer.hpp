#pragma once

#include <curfew/core/detail/task_hooks.hpp>
#include <curfew/http/client.hpp>
#include <curfew/io/detail/local_handler.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "http/client/client_url.hpp"
#include "http/client/upload.hpp"
#include "http/wire/loop.hpp"

namespace curfew::http {

class client_state;

using response_completion = std::shared_ptr<detail::completion<result<response>>>;
using download_completion = std::shared_ptr<detail::completion<result<download>>>;
using piece = result<std::optional<std::string>>;
using piece_completion = std::shared_ptr<detail::completion<piece>>;

/// The body behind a download.
struct download::transfer {
  explicit transfer(std::shared_ptr<client_state> of) noexcept : client(std::move(of)) {}
  transfer(const transfer&) = delete;
  transfer& operator=(const transfer&) = delete;
  virtual ~transfer() = default;

  [[nodiscard]] virtual const response& head() const noexcept = 0;
  /// \param in  The loop of what waits.
  virtual void start_read(context reader_ctx, std::shared_ptr<loop> in, piece_completion complete) = 0;
  /// The download is gone.
  virtual void drop() noexcept = 0;

  const std::shared_ptr<client_state> client;
};

/// What a call asks for, and where its redirects have led.
struct call_target {
  request what;
  client_url url;
  unsigned redirects = 0;
  bool cross_origin = false;     ///< Redirected away: credentials stay behind.
  std::shared_ptr<upload> body;  ///< Where that of `what` streams.
  std::shared_ptr<upload> left;  ///< What it was before a redirect to GET: stopped, its source may still run.

  /// Checks the request; nothing has been sent when this fails.
  /// \param runs_source  Of a body that streams.
  static result<call_target> make(const context& ctx, request what,
                                  const boost::asio::any_io_executor& runs_source);

  /// Is a response with that status one to follow?
  [[nodiscard]] static bool is_redirect(status code) noexcept;
  /// Goes on to `location`, which an answer with that status has named.
  /// \return why it cannot be followed.
  std::optional<error> follow(std::string_view location, status code, const client_options& options);
  /// Is that field for the first origin alone, and this another?
  [[nodiscard]] bool leaves_out(std::string_view name) const noexcept;
  /// Those of `what` without such ones.
  [[nodiscard]] fields fields_to_send() const;
  /// What is wrong with others in their place; empty if nothing is.
  [[nodiscard]] std::string problem_with(const fields& others) const;

  /// May it be sent again although the server may have carried it out?
  [[nodiscard]] bool is_idempotent() const noexcept;
  /// "GET http://host/ : connecting"
  [[nodiscard]] std::string doing(std::string_view phase) const;
  [[nodiscard]] error failed(std::error_code code, std::string_view phase,
                             std::string_view detail = {}) const;
};

/// The call as a task, which inspection shows as "GET http://host/path": a query may hold secrets.
[[nodiscard]] detail::open_task show_call(const context& ctx, const call_target& target);

}  // namespace curfew::http
