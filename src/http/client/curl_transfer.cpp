#include "http/client/curl_transfer.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <curfew/http/deadline.hpp>
#include <system_error>
#include <utility>

#include "http/message/syntax.hpp"
#include "http/message/trace_fields.hpp"

namespace curfew::http {

namespace {

constexpr std::size_t buffer_limit = 256 * 1024;        // of a download without a reader
constexpr std::size_t redirect_body_limit = 64 * 1024;  // more of it is not worth the connection

template <class Value>
bool set(CURL* easy, CURLoption option, Value value) {
  return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

std::error_code code_of(CURLcode code, bool has_head, std::string_view detail) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
      return errc::bad_url;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return errc::name_not_found;
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:  // of the connection attempts: there is no other limit
    case CURLE_PROXY:
      return errc::connection_refused;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      return errc::tls_failure;
    case CURLE_PARTIAL_FILE:
      return errc::truncated_body;
    case CURLE_RECV_ERROR:
      // Lost, or chunks that are none: the text is all that tells them apart, and each libcurl has its own.
      if (detail.contains("chunk")) return errc::bad_response;
      return has_head ? errc::truncated_body : errc::connection_lost;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
      return errc::connection_lost;
    case CURLE_OUT_OF_MEMORY:
      return std::make_error_code(std::errc::not_enough_memory);
    default:
      return errc::bad_response;
  }
}

}  // namespace

void curl_transfer::launch() {
  if (target.body) target.body->used_by(weak_from_this());
  watch.emplace(ctx, on_end{this});
  if (!engine->post(shared_from_this(), curl_engine::starts)) {
    watch.reset();
    complete_after_source(failed(curfew::errc::canceled, "the client was destroyed"));
  }
}

void curl_transfer::on_end::operator()() const noexcept {
  if (std::shared_ptr<curl_transfer> t = self->weak_from_this().lock()) {
    curl_engine& to = *t->engine;
    to.post(std::move(t), curl_engine::ends);
  }
}

// Preparing curl.

void curl_transfer::make_lines() {
  lines.clear();
  deadline_line = 0;
  bool has_expect = false;
  bool has_type = false;
  for (const auto& [name, value] : target.what.fields()) {
    if (same_name(name, "Content-Length")) continue;  // curl's
    if (target.cross_origin && stays_with_origin(name)) continue;
    has_expect = has_expect || same_name(name, "Expect");
    has_type = has_type || same_name(name, "Content-Type");
    // curl takes "name:" for "do not send your own field", and "name;" for an empty value.
    std::string& line = lines.emplace_back(name);
    if (trimmed(value).empty()) {
      line += ';';
    } else {
      line.append(": ").append(value);
    }
  }
  if (streaming && !target.what.fields().contains("Accept-Encoding")) {
    lines.emplace_back("Accept-Encoding: identity");
  }
  if (target.body && !target.body->length()) lines.emplace_back("Transfer-Encoding: chunked");
  if (!has_expect) lines.emplace_back("Expect:");
  if (!has_type) lines.emplace_back("Content-Type:");
  if (const auto part_of = trace_to_send(ctx, detail::id_of(shown));
      part_of && !target.what.fields().contains(trace_field)) {
    lines.push_back(std::string(trace_field) + ": " + part_of->parent);
    if (!part_of->state.empty()) lines.push_back(std::string(trace_state_field) + ": " + part_of->state);
  }
  if (engine->options().send_deadline() && !target.what.fields().contains(timeout_field) &&
      timeout_to_send(ctx)) {
    lines.emplace_back();
    deadline_line = lines.size();  // filled in when it is sent
    lines.back() = std::string(timeout_field) + ": " + *timeout_to_send(ctx);
  }
  list.resize(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    list[i].data = lines[i].data();
    list[i].next = i + 1 < lines.size() ? &list[i + 1] : nullptr;
  }
}

bool curl_transfer::configure() {
  phase = phase_kind::queued;
  sends = 0;
  no_socket = 0;
  in_header = head_complete = following = sent_all = false;
  location.clear();
  ignored_bytes = 0;
  answer = response();
  make_lines();
  easy = curl_easy_init();
  return easy != nullptr && add_options();
}

bool curl_transfer::add_options() {
  const client_options& options = engine->options();
  bool ok = set(easy, CURLOPT_PRIVATE, this) && set(easy, CURLOPT_URL, target.url.text.c_str()) &&
            set(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
            set(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") && set(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
            set(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1}) &&
            set(easy, CURLOPT_HTTPHEADER, list.data()) && set(easy, CURLOPT_USERAGENT, "curfew") &&
            set(easy, CURLOPT_ERRORBUFFER, curl_error) && set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) &&
            // A stuck lookup is left alone, and no signal is used.
            set(easy, CURLOPT_QUICK_EXIT, 1L) && set(easy, CURLOPT_NOSIGNAL, 1L) &&
            set(easy, CURLOPT_HEADERFUNCTION, &curl_transfer::on_header) &&
            set(easy, CURLOPT_HEADERDATA, this) &&
            set(easy, CURLOPT_WRITEFUNCTION, &curl_transfer::on_body) && set(easy, CURLOPT_WRITEDATA, this) &&
            set(easy, CURLOPT_RESOLVER_START_FUNCTION, &curl_transfer::on_resolve) &&
            set(easy, CURLOPT_RESOLVER_START_DATA, this) &&
            set(easy, CURLOPT_OPENSOCKETFUNCTION, &curl_transfer::on_open_socket) &&
            set(easy, CURLOPT_OPENSOCKETDATA, this) &&
            set(easy, CURLOPT_CLOSESOCKETFUNCTION, &curl_engine::on_close_socket) &&
            set(easy, CURLOPT_CLOSESOCKETDATA, engine.get()) &&
            set(easy, CURLOPT_PREREQFUNCTION, &curl_transfer::on_send) && set(easy, CURLOPT_PREREQDATA, this);

  // The context is the only limit of time. Its deadline tells curl how to share the time among several
  // addresses.
  long connect_ms = INT_MAX;
  if (const auto left = ctx.remaining()) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*left).count() + 250;
    connect_ms = static_cast<long>(std::min<std::int64_t>(ms, INT_MAX));
  }
  ok = ok && set(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);

  if (decodes()) ok = ok && set(easy, CURLOPT_ACCEPT_ENCODING, "");
  if (options.max_idle_connections() == 0) ok = ok && set(easy, CURLOPT_FORBID_REUSE, 1L);
  if (target.url.loopback) ok = ok && set(easy, CURLOPT_PROXY, "");
  if (target.url.has_user && !target.cross_origin) {
    ok = ok && set(easy, CURLOPT_USERNAME, target.url.user.c_str()) &&
         set(easy, CURLOPT_PASSWORD, target.url.password.c_str());
  }
  if (target.url.tls) {
    ok = ok && set(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2}) &&
         set(easy, CURLOPT_SSL_CTX_FUNCTION, &curl_transfer::on_handshake) &&
         set(easy, CURLOPT_SSL_CTX_DATA, this);
    if (const std::string& file = options.ca_file(); !file.empty()) {
      // The file alone: not the system's certificates beside it.
      ok = ok && set(easy, CURLOPT_CAINFO, file.c_str()) &&
           set(easy, CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    }
  }

  const std::string& method = target.what.method();
  if (method == "HEAD") return ok && set(easy, CURLOPT_NOBODY, 1L);
  if (target.body) {
    const auto length = target.body->length();
    return ok && set(easy, CURLOPT_UPLOAD, 1L) && set(easy, CURLOPT_READFUNCTION, &curl_transfer::on_read) &&
           set(easy, CURLOPT_READDATA, this) && set(easy, CURLOPT_SEEKFUNCTION, &curl_transfer::on_seek) &&
           set(easy, CURLOPT_SEEKDATA, this) &&
           set(easy, CURLOPT_INFILESIZE_LARGE, length ? static_cast<curl_off_t>(*length) : curl_off_t{-1}) &&
           (method == "PUT" || set(easy, CURLOPT_CUSTOMREQUEST, method.c_str()));
  }
  if (!target.what.body().empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    ok = ok && set(easy, CURLOPT_POST, 1L) && set(easy, CURLOPT_POSTFIELDS, target.what.body().data()) &&
         set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(target.what.body().size()));
    return ok && (method == "POST" || set(easy, CURLOPT_CUSTOMREQUEST, method.c_str()));
  }
  ok = ok && set(easy, CURLOPT_HTTPGET, 1L);
  return ok && (method == "GET" || set(easy, CURLOPT_CUSTOMREQUEST, method.c_str()));
}

void curl_transfer::release_easy() noexcept { curl_easy_cleanup(std::exchange(easy, nullptr)); }

/// Once libcurl decodes, it decodes every coding that the server chooses, and whole network reads at a time,
/// paused or not: 16 KiB of zstd become 500 MiB. So a download, which may have no reader, is not decoded.
bool curl_transfer::decodes() const { return !streaming && !target.sets_accept_encoding(); }

// What curl tells while it works.

int curl_transfer::on_resolve(void*, void*, void* self) noexcept {
  static_cast<curl_transfer*>(self)->phase = phase_kind::resolving;
  return 0;
}

curl_socket_t curl_transfer::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  t.phase = phase_kind::connecting;
  // Not for child processes: the other side would not see the end of a connection that they hold.
  const int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd >= 0) {
    t.engine->opened(fd);
  } else {
    t.no_socket = errno;
  }
  return fd;
}

CURLcode curl_transfer::on_handshake(CURL*, void*, void* self) noexcept {
  static_cast<curl_transfer*>(self)->phase = phase_kind::handshake;
  return CURLE_OK;
}

int curl_transfer::on_send(void* self, char*, char*, int, int) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  try {
    // curl sends a request once more where a kept connection turns out to be dead: not for one that may have
    // been carried out already.
    if (++t.sends > 1 && t.header_bytes == 0 && !t.target.is_idempotent()) {
      t.failure = t.failed(errc::connection_lost);
      return CURL_PREREQFUNC_ABORT;
    }
    t.phase = phase_kind::sent;
    if (t.deadline_line != 0) {  // waiting for a connection took its time
      std::string& line = t.lines[t.deadline_line - 1];
      line = std::string(timeout_field) + ": " + timeout_to_send(t.ctx).value_or("0");
      t.list[t.deadline_line - 1].data = line.data();
    }
    return CURL_PREREQFUNC_OK;
  } catch (...) {
    return CURL_PREREQFUNC_ABORT;
  }
}

std::size_t curl_transfer::on_read(char* into, std::size_t, std::size_t room, void* self) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  try {
    return t.next_bytes(into, room);
  } catch (...) {
    return CURL_READFUNC_ABORT;
  }
}

std::size_t curl_transfer::next_bytes(char* into, std::size_t room) {
  std::string_view bytes;
  switch (target.body->look(bytes)) {
    case upload::state::bytes: {
      const std::size_t size = std::min(room, bytes.size());
      std::memcpy(into, bytes.data(), size);
      target.body->consumed(size);
      return size;
    }
    case upload::state::waits:
      return CURL_READFUNC_PAUSE;
    case upload::state::over:
      sent_all = true;
      return 0;
    case upload::state::failed:
      break;
  }
  failure = ctx.err() ? ended() : failed(target.body->failure(), target.body->detail());
  return CURL_READFUNC_ABORT;
}

int curl_transfer::on_seek(void* self, curl_off_t offset, int origin) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  try {
    if (offset == 0 && origin == SEEK_SET && t.target.body->rewind()) {
      t.engine->touch(t);  // settles it
      return CURL_SEEKFUNC_OK;
    }
    t.failure = t.failed(errc::connection_lost, "and the source of the body cannot begin again");
  } catch (...) {  // NOLINT(bugprone-empty-catch): curl says that it failed
  }
  return CURL_SEEKFUNC_FAIL;
}

std::size_t curl_transfer::on_header(char* bytes, std::size_t, std::size_t size, void* self) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  try {
    return t.header_line(std::string_view(bytes, size)) ? size : CURL_WRITEFUNC_ERROR;
  } catch (...) {
    return CURL_WRITEFUNC_ERROR;
  }
}

bool curl_transfer::header_line(std::string_view line) {
  if (!head_complete) phase = phase_kind::header;
  header_bytes += line.size();  // of all responses and trailers: libcurl keeps each line until the call ends
  if (header_bytes > engine->options().max_header_size()) {
    failure = failed(errc::too_large, head_complete ? "the trailer" : "the header");
    return false;
  }
  if (head_complete) return true;  // a trailer: counted, and dropped
  if (!in_header) {                // "HTTP/1.1 200 OK", which curl has checked
    unsigned number = 0;
    if (const std::size_t space = line.find(' '); space != std::string_view::npos) {
      const std::string_view digits = line.substr(space + 1, 3);
      std::from_chars(digits.data(), digits.data() + digits.size(), number);
    }
    answer = response(static_cast<http::status>(number));
    location.clear();
    in_header = true;
    return true;
  }
  const std::string_view text = trimmed(line);
  if (text.empty()) {
    in_header = false;
    header_done();
    return !failure;
  }
  if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    const std::string_view name = trimmed(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    answer.fields().add(name, value);
    if (same_name(name, "Location") && location.empty()) location = value;
    // libcurl would decode any other coding, which no request of ours allows, without a bound of ours.
    if (same_name(name, "Transfer-Encoding") && !same_name(value, "chunked") &&
        !same_name(value, "identity")) {
      failure = failed(errc::bad_response, "the transfer coding " + std::string(value));
      return false;
    }
  }
  return true;
}

void curl_transfer::header_done() {
  const unsigned number = to_number(answer.status());
  if (number < 200) {
    // 101 is the answer to a request for an upgrade: there was none.
    if (number < 100 || number == 101)
      failure = failed(errc::bad_response, "status " + std::to_string(number));
    return;
  }
  head_complete = true;
  phase = phase_kind::body;
  if (target.body && number >= 300) {
    // curl stops to send, but does not take an answer for complete while what it sends is paused.
    engine->post(shared_from_this(), curl_engine::resumes);
  }
  if (!location.empty() && engine->options().max_redirects() != 0 && target.is_redirect(number)) {
    following = true;
    return;
  }
  if (target.body && number >= 300) {
    target.body->stop();
    engine->touch(*this);  // settles it
  }
  if (decodes() && target.what.method() != "HEAD" && answer.fields().contains("Content-Encoding")) {
    answer.fields().erase("Content-Encoding");  // the body is decoded: these would be wrong about it
    answer.fields().erase("Content-Length");
  }
  if (streaming) {
    head_ready = true;
    reading = target.doing("reading the body");
    engine->touch(*this);
  }
}

std::size_t curl_transfer::on_body(char* bytes, std::size_t, std::size_t size, void* self) noexcept {
  auto& t = *static_cast<curl_transfer*>(self);
  try {
    return t.body_bytes(bytes, size);
  } catch (...) {
    return CURL_WRITEFUNC_ERROR;
  }
}

std::size_t curl_transfer::body_bytes(const char* bytes, std::size_t size) {
  if (following) {
    ignored_bytes += size;
    return ignored_bytes <= redirect_body_limit ? size : CURL_WRITEFUNC_ERROR;
  }
  if (!streaming) {
    if (size > engine->options().max_body_size() - answer.body().size()) {
      failure = failed(errc::too_large,
                       "more than " + std::to_string(engine->options().max_body_size()) + " bytes");
      return CURL_WRITEFUNC_ERROR;
    }
    answer.body().append(bytes, size);
    return size;
  }
  {
    const std::lock_guard guard(mutex);
    if (buffer.size() >= buffer_limit) {
      paused = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    buffer.append(bytes, size);
  }
  engine->touch(*this);
  return size;
}

// What became of it.

const char* curl_transfer::phase_name() const {
  switch (phase) {
    case phase_kind::queued:
      return "waiting for a connection";
    case phase_kind::resolving:
      return "resolving";
    case phase_kind::connecting:
      return "connecting";
    case phase_kind::handshake:
      return "in the TLS handshake";
    case phase_kind::sent: {
      curl_off_t sent = 0;
      if (easy != nullptr) curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
      if (target.body) return sent_all ? "waiting for the response" : "sending";
      return sent < static_cast<curl_off_t>(target.what.body().size()) ? "sending"
                                                                       : "waiting for the response";
    }
    case phase_kind::header:
      return "reading the header";
    case phase_kind::body:
      return "reading the body";
  }
  return "";
}

error curl_transfer::failed(std::error_code code, std::string_view detail) const {
  return target.failed(code, phase_name(), detail);
}

error curl_transfer::ended() const { return error::ended(ctx, target.doing(phase_name())); }

bool curl_transfer::redirected() {
  if (!following || failure) return false;
  failure = target.follow(location, engine->options().max_redirects());
  if (!failure && target.body && !target.body->rewind()) {
    failure = failed(std::make_error_code(std::errc::operation_not_supported),
                     "a redirect, and the source of the body cannot begin again");
  }
  if (target.body) engine->touch(*this);  // settles it
  return !failure;
}

std::optional<error> curl_transfer::outcome(CURLcode code) {
  if (failure) return std::exchange(failure, std::nullopt);
  if (code == CURLE_OK) {
    if (head_complete) return std::nullopt;
    return failed(errc::connection_lost);
  }
  std::string detail = curl_error[0] != '\0' ? curl_error : curl_easy_strerror(code);
  // What libcurl says of a line that is longer than its own limits: since 8.6 by a code, before as if memory had run out.
  constexpr auto curle_too_large = static_cast<CURLcode>(100);
  if (code == curle_too_large || (code == CURLE_OUT_OF_MEMORY && sends != 0 && !head_complete) ||
      detail == "Out of memory in chunked-encoding") {
    return failed(errc::too_large, head_complete ? "a line of the trailer" : "a line of the header");
  }
  const std::error_code what_failed = code_of(code, head_complete, detail);
  if (what_failed == errc::connection_refused && no_socket != 0) {
    return failed(std::error_code(no_socket, std::generic_category()));  // too many open files, for one
  }
  if (what_failed == errc::connection_refused) {
    long number = 0;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    detail.clear();
    if (number != 0 && number != ECONNREFUSED)
      detail = std::generic_category().message(static_cast<int>(number));
  } else if (what_failed != errc::tls_failure && what_failed != errc::bad_response &&
             what_failed != errc::bad_url) {
    detail.clear();  // the code says it all
  }
  return failed(what_failed, detail);
}

void curl_transfer::end_body(const std::optional<error>& why) {
  if (!streaming) return;
  const std::lock_guard guard(mutex);
  body_over = true;
  body_error = why;
  // The bytes of a call that was ended have no reader.
  if (why && why->code().category() == curfew_category()) buffer.clear();
}

void curl_transfer::complete_after_source(std::optional<error> why) {
  if (target.body) {
    target.body->stop();
    target.body->settle();
    waits_for_source = true;
    auto later = [self = shared_from_this(), why] { self->complete(why); };
    if (!target.body->when_done(std::move(later))) return;
    waits_for_source = false;
  }
  complete(std::move(why));
}

void curl_transfer::complete(std::optional<error> why) {
  shown.close();
  if (on_response) {
    send_handler h = std::exchange(on_response, nullptr);
    if (why) {
      h(std::unexpected(*std::move(why)));
    } else {
      h(std::move(answer));
    }
    return;
  }
  if (on_download && !head_ready) {
    open_handler h = std::exchange(on_download, nullptr);
    h(std::unexpected(why ? *std::move(why) : failed(errc::connection_lost)));
    return;
  }
  deliver_now();
}

void curl_transfer::socket_removed() {
  if (state != state_kind::running || phase != phase_kind::connecting) return;
  stalled = true;
  engine->touch(*this);
}

void curl_transfer::upload_ready() noexcept { engine->post(shared_from_this(), curl_engine::resumes); }

void curl_transfer::deliver() {
  if (waits_for_source) return;
  if (target.body) target.body->settle();
  deliver_now();
}

void curl_transfer::deliver_now() {
  if (std::exchange(stalled, false) && state == state_kind::running && phase == phase_kind::connecting) {
    // libcurl 7.88 goes on to the next address of a name when it is called the next time, and asks for
    // nothing that would make it be called. Leaving a pause is what makes it run at once.
    curl_easy_pause(easy, CURLPAUSE_RECV);
    curl_easy_pause(easy, CURLPAUSE_CONT);
  }
  if (on_download && head_ready && (!target.body || target.body->is_done())) {
    open_handler h = std::exchange(on_download, nullptr);
    h(download(shared_from_this()));
  }
  bool resume = false;
  std::optional<piece> value;
  std::unique_ptr<waiting_read> done;
  {
    const std::lock_guard guard(mutex);
    if (reader == nullptr) return;
    value = take(resume);
    if (!value) return;
    done = std::move(reader);
  }
  if (resume) engine->post(shared_from_this(), curl_engine::resumes);
  done->watch.reset();
  done->complete(*std::move(value));
}

// The reader's side.

std::optional<piece> curl_transfer::take(bool& resume) {
  if (!buffer.empty()) {
    resume = std::exchange(paused, false);
    return std::exchange(buffer, {});
  }
  if (!body_over) return std::nullopt;
  if (body_error) return std::unexpected(*body_error);
  return piece(std::nullopt);
}

void curl_transfer::start_read(context reader_ctx, std::shared_ptr<loop> /*in*/, piece_completion complete) {
  read_handler h(
      [complete = std::move(complete)](piece value) { complete->complete(std::move(value), false); });
  if (reader_ctx.err()) {
    h(std::unexpected(error::ended(reader_ctx, reading)));
    return;
  }
  bool resume = false;
  std::optional<piece> value;
  {
    const std::lock_guard guard(mutex);
    value = reader != nullptr
                ? std::unexpected(error(std::make_error_code(std::errc::operation_in_progress), reading))
                : take(resume);
  }
  if (!value) {
    auto waiting = std::make_unique<waiting_read>(shared_from_this(), std::move(reader_ctx), std::move(h));
    waiting->watch.emplace(waiting->ctx, waiting_read::on_end{waiting.get()});
    bool gone = false;
    {
      const std::lock_guard guard(mutex);
      gone = waiting->ended;
      if (!gone) value = take(resume);
      if (!gone && !value) {
        reader = std::move(waiting);
        return;
      }
    }
    waiting->watch.reset();
    h = std::move(waiting->complete);
    if (gone) value.emplace(std::unexpected(error::ended(waiting->ctx, reading)));
  }
  if (resume) engine->post(shared_from_this(), curl_engine::resumes);
  h(*std::move(value));
}

void curl_transfer::waiting_read::on_end::operator()() const noexcept {
  const std::shared_ptr<curl_transfer> t = self->of;
  std::unique_ptr<waiting_read> mine;
  {
    const std::lock_guard guard(t->mutex);
    self->ended = true;
    if (t->reader.get() == self) mine = std::move(t->reader);
  }
  if (!mine) return;  // the engine's thread completes it
  read_handler h = std::move(mine->complete);
  error e = error::ended(mine->ctx, t->reading);
  mine.reset();  // and with it the on_done that calls this: nothing of it is used below
  h(std::unexpected(std::move(e)));
}

void curl_transfer::drop() noexcept {
  {
    const std::lock_guard guard(mutex);
    if (body_over && !reader) return;
  }
  engine->post(shared_from_this(), curl_engine::drops);
}

}  // namespace curfew::http
