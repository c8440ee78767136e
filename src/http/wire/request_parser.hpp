#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <curfew/http/message.hpp>
#include <curfew/http/status.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace curfew::http {

/// Makes requests of bytes, and refuses what could be understood in two ways.
class request_parser {
 public:
  enum class progress {
    need_more,
    done,    ///< The request is complete.
    failed,  ///< `failure` says with what to answer; the connection is of no use after that.
  };

  /// Fields of a header and its trailer; more gets 431.
  static constexpr unsigned max_fields = 100;

  /// \param max_header  Bytes of the header; as many may the extensions of all chunks have together.
  /// \param max_body  Bytes of the body, until limit_body() says otherwise.
  /// \param into  Is cleared and filled; has to live until the next reset() or the parser's end.
  request_parser(request& into, std::size_t max_header, std::size_t max_body);
  request_parser(const request_parser&) = delete;
  request_parser& operator=(const request_parser&) = delete;
  ~request_parser();

  /// Begins the next request.
  void reset(request& into);

  /// Takes what it understands off the front of `bytes`; the rest must be there again in the next call, with
  /// more behind.
  progress feed(std::string_view& bytes);
  /// As feed(), but no further than the header, which it is about: done means that the header is.
  progress feed_header(std::string_view& bytes);

  /// Has the request begun?
  [[nodiscard]] bool started() const noexcept;
  [[nodiscard]] bool header_done() const noexcept;
  [[nodiscard]] status failure() const noexcept;

  // Once the header is done.

  /// \return false if the body is known to be larger: as if feed() had failed.
  bool limit_body(std::uint64_t most) noexcept;
  /// Where the body's bytes are appended from now on; null: nowhere. Until this is called, to that of the request.
  void body_into(std::string* to) noexcept;
  /// Is the request complete?
  [[nodiscard]] bool is_done() const noexcept;
  /// Bytes of the body that have been fed.
  [[nodiscard]] std::uint64_t body_taken() const noexcept;
  /// Bytes of the body that are still to come; none where only its end will tell.
  [[nodiscard]] std::optional<std::uint64_t> body_left() const noexcept;
  [[nodiscard]] bool http11() const noexcept;
  [[nodiscard]] bool keep_alive() const noexcept;
  /// Does the client wait for 100 Continue before it sends the body?
  [[nodiscard]] bool expects_continue() const noexcept;
  /// How long the client will wait, if it says so.
  [[nodiscard]] std::optional<clock::duration> timeout() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace curfew::http
