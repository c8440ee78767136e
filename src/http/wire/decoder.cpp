#include "http/wire/decoder.hpp"

#include <brotli/decode.h>
#define ZLIB_CONST  // NOLINT(readability-identifier-naming): zlib's own
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "http/message/syntax.hpp"
#include <curfew/http/fields.hpp>

namespace curfew::http {

namespace {

constexpr std::size_t portion = 16 * 1024;  // made at a time
constexpr std::size_t max_codings = 2;      // a server's, and a proxy's
constexpr int zstd_window_log = 23;         // 8 MiB

/// A coding of one library.
class stream : public decoder {
 public:
  state decode(std::string_view& in, std::string& out, std::size_t most) final {
    if (failed_) return state::failed;
    for (;;) {
      const std::size_t room = std::min(most, portion);
      if (room == 0) return state::has_more;
      const std::size_t before = out.size();
      out.resize(before + room);
      std::size_t made = 0;
      const state now = step(in, out.data() + before, room, made);
      out.resize(before + made);
      most -= made;
      failed_ = now == state::failed;
      if (now != state::has_more) return now;
    }
  }

 private:
  /// Decodes into `room` bytes, at least one; `made` of them are used. has_more: all of them, or it can go on.
  virtual state step(std::string_view& in, char* to, std::size_t room, std::size_t& made) = 0;

  bool failed_ = false;
};

/// gzip, and deflate with zlib's frame or without one.
class zlib_stream final : public stream {
 public:
  enum class format { gzip, deflate };

  explicit zlib_stream(format f) : format_(f) {
    if (f == format::gzip) begin(MAX_WBITS + 16);
  }
  ~zlib_stream() override {
    if (begun_) inflateEnd(&z_);
  }

 private:
  void begin(int window_bits) {
    if (inflateInit2(&z_, window_bits) != Z_OK) throw std::bad_alloc();
    begun_ = true;
  }

  /// zlib's header begins with the method, 8, and a window of at most 32 KiB. As raw deflate it would be a block
  /// without compression whose padding is not zero.
  static bool is_zlib(char first) noexcept {
    const auto byte = static_cast<unsigned char>(first);
    return (byte & 0x0f) == Z_DEFLATED && (byte >> 4) <= 7;
  }

  state step(std::string_view& in, char* to, std::size_t room, std::size_t& made) override {
    if (over_ && !in.empty()) {
      if (format_ != format::gzip || inflateReset(&z_) != Z_OK) return state::failed;
      over_ = false;
    }
    if (!begun_) {
      if (in.empty()) return state::needs_input;
      begin(is_zlib(in.front()) ? MAX_WBITS : -MAX_WBITS);
    }
    const auto size = static_cast<uInt>(std::min<std::size_t>(in.size(), std::numeric_limits<uInt>::max()));
    z_.next_in = reinterpret_cast<const Bytef*>(in.data());
    z_.avail_in = size;
    z_.next_out = reinterpret_cast<Bytef*>(to);
    z_.avail_out = static_cast<uInt>(room);
    const int code = over_ ? Z_STREAM_END : inflate(&z_, Z_NO_FLUSH);
    in.remove_prefix(size - z_.avail_in);
    made = room - z_.avail_out;
    switch (code) {
      case Z_STREAM_END:
        over_ = true;
        return in.empty() ? state::done : state::has_more;
      case Z_OK:
      case Z_BUF_ERROR:  // neither input nor room: no error
        return z_.avail_out == 0 || !in.empty() ? state::has_more : state::needs_input;
      case Z_MEM_ERROR:
        throw std::bad_alloc();
      default:
        return state::failed;
    }
  }

  z_stream z_{};
  const format format_;
  bool begun_ = false;
  bool over_ = false;
};

class brotli_stream final : public stream {
 public:
  brotli_stream() {
    if (!state_) throw std::bad_alloc();
  }

 private:
  state step(std::string_view& in, char* to, std::size_t room, std::size_t& made) override {
    if (BrotliDecoderIsFinished(state_.get()) != 0) return in.empty() ? state::done : state::failed;
    std::size_t available = in.size();
    const auto* next = reinterpret_cast<const std::uint8_t*>(in.data());
    std::size_t left = room;
    auto* place = reinterpret_cast<std::uint8_t*>(to);
    const auto code = BrotliDecoderDecompressStream(state_.get(), &available, &next, &left, &place, nullptr);
    in.remove_prefix(in.size() - available);
    made = room - left;
    switch (code) {
      case BROTLI_DECODER_RESULT_SUCCESS:
        return in.empty() ? state::done : state::failed;
      case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        return state::needs_input;
      case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return state::has_more;
      default:
        if (is_memory(BrotliDecoderGetErrorCode(state_.get()))) throw std::bad_alloc();
        return state::failed;
    }
  }

  static bool is_memory(BrotliDecoderErrorCode code) noexcept {
    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
           code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
  }

  struct destroy {
    void operator()(BrotliDecoderState* s) const noexcept { BrotliDecoderDestroyInstance(s); }
  };
  const std::unique_ptr<BrotliDecoderState, destroy> state_{
      BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)};
};

class zstd_stream final : public stream {
 public:
  zstd_stream() {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, zstd_window_log);
  }

 private:
  state step(std::string_view& in, char* to, std::size_t room, std::size_t& made) override {
    if (between_frames_ && in.empty()) return begun_ ? state::done : state::needs_input;
    begun_ = true;
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer into{to, room, 0};
    const std::size_t hint = ZSTD_decompressStream(context_.get(), &into, &from);
    in.remove_prefix(from.pos);
    made = into.pos;
    if (ZSTD_isError(hint) != 0) {
      if (ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation) throw std::bad_alloc();
      return state::failed;
    }
    between_frames_ = hint == 0;
    if (!in.empty()) return state::has_more;
    if (between_frames_) return state::done;
    return made == room ? state::has_more : state::needs_input;
  }

  struct destroy {
    void operator()(ZSTD_DCtx* c) const noexcept { ZSTD_freeDCtx(c); }
  };
  const std::unique_ptr<ZSTD_DCtx, destroy> context_{ZSTD_createDCtx()};
  bool between_frames_ = true;
  bool begun_ = false;
};

/// The bytes as they are.
class identity final : public decoder {
 public:
  state decode(std::string_view& in, std::string& out, std::size_t most) override {
    const std::string_view piece = in.substr(0, most);
    out += piece;
    in.remove_prefix(piece.size());
    return in.empty() ? state::done : state::has_more;
  }
};

/// Two codings: what the first one makes is the input of the second.
class chain final : public decoder {
 public:
  chain(std::unique_ptr<decoder> first, std::unique_ptr<decoder> second)
      : first_(std::move(first)),
        second_(std::move(second)) {}

  state decode(std::string_view& in, std::string& out, std::size_t most) override {
    while (!failed_) {
      if (second_has_more_ || !rest_.empty()) {
        const std::size_t before = out.size();
        const state now = second_->decode(rest_, out, most);
        most -= out.size() - before;
        second_has_more_ = now == state::has_more;
        second_done_ = now == state::done;
        failed_ = now == state::failed;
        if (failed_ || second_has_more_) return now;
      }
      if (in.empty() && !first_has_more_) {
        return first_done_ && second_done_ ? state::done : state::needs_input;
      }
      between_.clear();
      const state now = first_->decode(in, between_, portion);
      rest_ = between_;
      first_has_more_ = now == state::has_more;
      first_done_ = now == state::done;
      failed_ = now == state::failed;
    }
    return state::failed;
  }

 private:
  const std::unique_ptr<decoder> first_;
  const std::unique_ptr<decoder> second_;
  std::string between_;
  std::string_view rest_;  // of between_
  bool first_has_more_ = false;
  bool first_done_ = false;
  bool second_has_more_ = false;
  bool second_done_ = false;
  bool failed_ = false;
};

std::unique_ptr<decoder> make_one(std::string_view coding) {
  if (same_name(coding, "gzip") || same_name(coding, "x-gzip")) {
    return std::make_unique<zlib_stream>(zlib_stream::format::gzip);
  }
  if (same_name(coding, "deflate")) return std::make_unique<zlib_stream>(zlib_stream::format::deflate);
  if (same_name(coding, "br")) return std::make_unique<brotli_stream>();
  if (same_name(coding, "zstd")) return std::make_unique<zstd_stream>();
  return nullptr;
}

}  // namespace

std::unique_ptr<decoder> decoder::make(std::string_view codings) {
  std::unique_ptr<decoder> all;
  std::size_t count = 0;
  const bool refused = any_item(codings, [&](std::string_view coding) {
    if (coding.empty() || same_name(coding, "identity")) return false;
    std::unique_ptr<decoder> one = make_one(coding);
    if (!one || ++count > max_codings) return true;
    // What was applied last is undone first.
    all = all ? std::make_unique<chain>(std::move(one), std::move(all)) : std::move(one);
    return false;
  });
  if (refused) return nullptr;
  return all ? std::move(all) : std::make_unique<identity>();
}

}  // namespace curfew::http
