#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/http/errc.hpp>
#include <curfew/http/message.hpp>
#include <string_view>
#include <system_error>

namespace curfew::http {

/// The framing of a client's side of HTTP/1.1: what a server sends in answer to one request after another on one
/// connection. Bytes in, events out; it allocates nothing but the response's fields.
///
///                 ┌───────── interim ─────────┐
///                 ▼                           │
///   expect ► status line ─────────────────► fields ── head ─┬► nothing, or a length ─────────────┬─ done ► over
///                                                           ├► chunk size ◄► data ──► trailers ──┤
///                                                           └► until the close ── receive_end ───┘
///
/// Every arrow may lead to `failed` instead, where it stays. It is strict where an intermediary may read the bytes
/// in another way: lines end with CR LF, none is folded, a length stands once and alone, `chunked` is the only
/// transfer coding.
/// The events depend on the bytes alone, not on how they were cut into pieces.
class client_session {
 public:
  enum class event {
    need_more,
    interim,  ///< A 1xx response is over; its fields are dropped.
    head,     ///< Status and fields are complete.
    body,     ///< `piece` has the next bytes of the body.
    done,     ///< The response is complete. It stays so until the next `expect`.
    failed,   ///< `failure` says why; the connection is of no use after that.
  };

  /// Fields of a header, its trailers and the 1xx responses before it, all together.
  static constexpr unsigned max_fields = 256;

  /// \param max_header  Bytes of header, trailers and 1xx responses before, all together. As much may chunk
  ///                    extensions have beyond the size of the body. It is also the most that stays in `bytes`.
  explicit client_session(std::size_t max_header) noexcept : max_header_(max_header) {}

  /// Begins to expect the answer to a request.
  /// \param is_head  It was HEAD: no body follows.
  /// \param into     Gets status and fields; must outlive the answer.
  void expect(bool is_head, response& into) noexcept;

  /// Takes what it understands off the front of `bytes`; the rest must be there again in the next call, with more
  /// behind. Returns at each event: call it again, with no bytes too, until it says need_more, done or failed.
  [[nodiscard]] event receive(std::string_view& bytes);
  /// The server has closed its side, and `receive` needs more: done, for a body that lasts until then, or failed.
  [[nodiscard]] event receive_end() noexcept;

  /// After `body`: points into the bytes that were given.
  [[nodiscard]] std::string_view piece() const noexcept { return piece_; }
  /// After `failed`: bad_response, too_large; of receive_end: connection_lost, truncated_body.
  [[nodiscard]] std::error_code failure() const noexcept { return failure_; }
  /// After `failed`, for the error's text: "a folded line". May be empty. It is constant.
  [[nodiscard]] std::string_view detail() const noexcept { return detail_; }
  /// Has a byte of this answer come, understood or not?
  [[nodiscard]] bool started() const noexcept { return started_; }
  [[nodiscard]] bool head_done() const noexcept { return head_done_; }
  /// May the connection be used again? Not before `done`, and not if more bytes than the answer had come by then.
  [[nodiscard]] bool keeps_alive() const noexcept;
  /// After `interim`.
  [[nodiscard]] unsigned status_of_interim() const noexcept { return status_; }

 private:
  enum class stage : unsigned char {
    status_line,
    fields,
    length,
    chunk_size,
    chunk_data,
    chunk_end,
    trailers,
    until_close,
    over,
    failed,
  };

  event fail(errc why, std::string_view detail) noexcept;
  event finish(std::string_view rest) noexcept;
  event take_piece(std::string_view& bytes) noexcept;

  // Of the functions below, `body` means: go on.

  /// Takes a line of a header or trailer; gives it without its end.
  event take_line(std::string_view& bytes, std::string_view& line);
  /// Failed: another line is at the front.
  static event take_blank_line(std::string_view& bytes) noexcept;
  event take_chunk_size(std::string_view& bytes);
  event read_status_line(std::string_view line);
  event read_field(std::string_view line);
  event read_framing(std::string_view name, std::string_view value);
  event end_of_head();

  std::size_t max_header_;
  response* into_ = nullptr;
  std::uint64_t left_ = 0;           // of the body or the chunk
  std::size_t header_bytes_ = 0;     // taken
  std::size_t extension_bytes_ = 0;  // of chunks, beyond the size of their data
  std::size_t scanned_ = 0;          // bytes at the front that have no end of line in them
  std::string_view piece_;
  std::string_view detail_;
  std::error_code failure_;
  unsigned fields_ = 0;
  unsigned status_ = 0;
  stage stage_ = stage::over;
  bool is_head_ = false;
  bool started_ = false;
  bool head_done_ = false;
  bool http11_ = false;
  bool has_length_ = false;
  bool chunked_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
  bool sound_ = true;  // where this answer ends is beyond doubt, and nothing came behind it
};

}  // namespace curfew::http
