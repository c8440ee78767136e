#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <curfew/core/on_done.hpp>
#include <curfew/http/client.hpp>
#include <curfew/http/errc.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/client/curl_engine.hpp"
#include "http/client/transfer.hpp"

namespace curfew::http {

/// One call that libcurl carries, over TLS or through a proxy, from its start to the end of its body.
///
///   made ──begin──► running ──finish──► over
///
/// Its context's end, wherever it is, posts a wish to the engine; the engine decides, in the order in which
/// things reach its thread, whether the end or the response came first.
struct curl_transfer final : download::transfer, upload_user, std::enable_shared_from_this<curl_transfer> {
  using send_handler = std::move_only_function<void(result<response>)>;
  using open_handler = std::move_only_function<void(result<download>)>;
  using read_handler = std::move_only_function<void(piece)>;

  enum class state_kind : unsigned char { made, running, over };
  enum class phase_kind : unsigned char { queued, resolving, connecting, handshake, sent, header, body };

  /// A read that waits for bytes, the end of the body, or the end of its own context.
  struct waiting_read {
    struct on_end {
      waiting_read* self;
      void operator()() const noexcept;
    };

    waiting_read(std::shared_ptr<curl_transfer> t, context c, read_handler h)
        : of(std::move(t)),
          ctx(std::move(c)),
          complete(std::move(h)) {}

    const std::shared_ptr<curl_transfer> of;
    const context ctx;
    read_handler complete;
    bool ended = false;  // guarded by of->mutex
    std::optional<on_done<on_end>> watch;
  };

  struct on_end {
    curl_transfer* self;
    void operator()() const noexcept;
  };

  curl_transfer(std::shared_ptr<client_state> of, std::shared_ptr<curl_engine> e, context c, call_target t)
      : transfer(std::move(of)),
        engine(std::move(e)),
        ctx(std::move(c)),
        target(std::move(t)),
        shown(show_call(ctx, target)) {}
  curl_transfer(const curl_transfer&) = delete;
  curl_transfer& operator=(const curl_transfer&) = delete;

  /// Hands it to the engine; one of the handlers has been set.
  void launch();

  // The engine's thread.

  /// Makes `easy` for the URL of now. False: no memory.
  bool configure();
  void release_easy() noexcept;
  /// What became of it. None: it is complete. Call `redirected` first.
  std::optional<error> outcome(CURLcode code);
  /// Is this a redirect to follow? Then `url` is the new one; or `failure` says why it cannot be followed.
  bool redirected();
  /// Ends the body of a download, where this is one.
  void end_body(const std::optional<error>& why);
  /// As complete(), when the source of the request's body has returned. Then not in the engine's thread.
  void complete_after_source(std::optional<error> why);
  /// Completes the call with `why`, or with the whole response, or the read that waits for a body.
  void complete(std::optional<error> why);
  /// curl has closed one of its sockets, or wants nothing of it any more.
  void socket_removed();
  /// What a callback of curl has left to do: completes the opening of a download, a read.
  void deliver();
  [[nodiscard]] error failed(std::error_code code, std::string_view detail = {}) const;
  [[nodiscard]] error ended() const;

  // Any thread.

  /// The next piece or the end, if there is one. With `mutex` held.
  /// \param resume  Set if the sender, held back until now, has to be let go on: by post(resumes), after
  ///                unlocking.
  std::optional<piece> take(bool& resume);
  void start_read(context reader_ctx, std::shared_ptr<loop> in, piece_completion complete) override;
  void drop() noexcept override;
  void upload_ready() noexcept override;
  [[nodiscard]] const response& head() const noexcept override { return answer; }

  const std::shared_ptr<curl_engine> engine;
  const context ctx;

  // Guarded by the engine's inbox_mutex_.
  std::shared_ptr<curl_transfer> inbox_next;
  unsigned wishes = 0;

  // Set before launch; then the engine's thread alone.
  send_handler on_response;
  open_handler on_download;
  call_target target;
  detail::open_task shown;  // by inspection
  bool streaming = false;
  std::optional<on_done<on_end>> watch;

  // The engine's thread alone.
  CURL* easy = nullptr;
  state_kind state = state_kind::made;
  phase_kind phase = phase_kind::queued;
  bool end_wanted = false;
  bool drop_wanted = false;
  unsigned sends = 0;    // how often curl has sent it to this URL
  int no_socket = 0;     // errno, where the system gave none
  bool touched = false;  // in the engine's list
  bool stalled = false;  // an attempt to connect is over
  bool in_header = false;
  bool head_complete = false;
  bool head_ready = false;        // of a download: its opening may be completed
  bool sent_all = false;          // of a body that streams
  bool waits_for_source = false;  // over, but for that: complete() is called in its thread
  bool following = false;         // the response is a redirect that will be followed
  std::string location;
  std::size_t header_bytes = 0;
  std::size_t ignored_bytes = 0;
  response answer;               // constant once on_download has been called
  std::optional<error> failure;  // found in a callback of curl
  std::vector<std::string> lines;
  std::vector<curl_slist> list;
  std::size_t deadline_line = 0;  // index + 1 in lines
  char curl_error[CURL_ERROR_SIZE] = {};

  std::string reading;  // set before on_download is called: "GET http://host/ : reading the body"

  std::mutex mutex;
  // Guarded by mutex: the body of a download on its way to the reader.
  std::string buffer;
  bool paused = false;  // curl holds the sender back
  bool body_over = false;
  std::optional<error> body_error;
  std::unique_ptr<waiting_read> reader;

 private:
  void make_lines();
  bool add_options();
  [[nodiscard]] const char* phase_name() const;
  [[nodiscard]] bool decodes() const;
  void header_done();
  bool header_line(std::string_view line);
  void deliver_now();
  std::size_t body_bytes(const char* bytes, std::size_t size);

  static std::size_t on_header(char* bytes, std::size_t, std::size_t size, void* self) noexcept;
  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* self) noexcept;
  std::size_t next_bytes(char* into, std::size_t room);
  static std::size_t on_read(char* into, std::size_t, std::size_t room, void* self) noexcept;
  static int on_seek(void* self, curl_off_t offset, int origin) noexcept;
  static int on_resolve(void*, void*, void* self) noexcept;
  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept;
  static CURLcode on_handshake(CURL*, void*, void* self) noexcept;
  static int on_send(void* self, char*, char*, int, int) noexcept;
};

}  // namespace curfew::http
