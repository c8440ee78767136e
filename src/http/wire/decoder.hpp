#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace curfew::http {

/// Undoes the content codings of a body, piece by piece. What it makes in one call is bounded by the caller, what it
/// keeps by the coding: 32 KiB for gzip and deflate; 8 MiB for zstd, and larger windows are refused as RFC 9659 says; 16 MiB
/// for br, which is the most that its format has: that RFC is not about br, whose own program makes such windows.
class decoder {
 public:
  enum class state {
    needs_input,  ///< All of the input is taken. If there is none, the body is cut off.
    has_more,     ///< `most` is reached; without new input too there may be more.
    done,         ///< The coded data are complete, and all of the input is taken.
    failed,       ///< Not in this coding, or bytes behind the end. It stays so.
  };

  /// \param codings  A Content-Encoding value: one coding or several, in the order in which they were applied:
  ///                 gzip, x-gzip, deflate (zlib's format or none), br, zstd, identity.
  /// \return null if one of them is unknown, or if there are more than two.
  static std::unique_ptr<decoder> make(std::string_view codings);

  decoder() = default;
  decoder(const decoder&) = delete;
  decoder& operator=(const decoder&) = delete;
  virtual ~decoder() = default;

  /// Takes bytes off the front of `in`, and appends at most `most` decoded bytes to `out`. After `done` a further
  /// member of gzip, or a frame of zstd, may follow; anything else fails.
  /// Throws: std::bad_alloc.
  [[nodiscard]] virtual state decode(std::string_view& in, std::string& out, std::size_t most) = 0;
};

}  // namespace curfew::http
