#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <curfew/remote/errc.hpp>
#include <curfew/remote/ticket.hpp>
#include <limits>
#include <stdexcept>
#include <system_error>

#include "remote/base64url.hpp"

// The text of a ticket: "c1." and, in base64url,
//
//   1 byte    flags: 1 signed, 2 with a deadline; the others are 0
//   15 bytes  the origin
//   number    which context
//   number    milliseconds that remain, where there is a deadline
//   values    each of them: length, name, length, value
//   16 bytes  where it is signed: HMAC-SHA256 of "curfew ticket 1" and all of the above, cut
//
// A number, and a length, is LEB128, in as few bytes as it needs: there is one text of a ticket.

namespace curfew::remote {

namespace {

constexpr std::string_view prefix = "c1.";
constexpr std::string_view purpose = "curfew ticket 1";  // the key may be used for something else, too
constexpr std::size_t origin_bytes = 15;
constexpr std::size_t mac_bytes = 16;
constexpr unsigned is_signed = 1;
constexpr unsigned has_deadline = 2;
constexpr unsigned bits_of_digit = 7;
constexpr unsigned more_follows = 0x80;

error refused(const char* what) { return error(errc::bad_ticket, std::string("ticket ") + what); }

void append_number(std::string& to, std::uint64_t value) {
  for (; value >= more_follows; value >>= bits_of_digit)
    to += static_cast<char>((value & (more_follows - 1)) | more_follows);
  to += static_cast<char>(value);
}

void append_bytes(std::string& to, std::string_view bytes) {
  append_number(to, bytes.size());
  to += bytes;
}

std::string mac_of(std::string_view key, std::string_view payload) {
  std::string said(purpose);
  said += payload;
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  if (key.size() > std::numeric_limits<int>::max() ||
      ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(said.data()), said.size(), out.data(),
             &size) == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::not_enough_memory), "HMAC");
  }
  return {reinterpret_cast<const char*>(out.data()), mac_bytes};
}

/// Takes parts off the front of what is left.
class reader {
 public:
  explicit reader(std::string_view bytes) noexcept : left_(bytes) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }

  std::optional<std::string_view> take(std::uint64_t size) noexcept {
    if (size > left_.size()) return std::nullopt;
    const auto taken = left_.substr(0, static_cast<std::size_t>(size));
    left_.remove_prefix(taken.size());
    return taken;
  }
  std::optional<std::uint64_t> number() noexcept {
    constexpr unsigned bits = std::numeric_limits<std::uint64_t>::digits;
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < bits && !left_.empty(); shift += bits_of_digit) {
      const std::uint64_t digit = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      const std::uint64_t low = digit & (more_follows - 1);
      if (low << shift >> shift != low) return std::nullopt;  // more than 64 bits
      value |= low << shift;
      if (digit == low) {
        if (digit == 0 && shift > 0) return std::nullopt;  // not the shortest
        return value;
      }
    }
    return std::nullopt;
  }
  std::optional<std::string_view> bytes() noexcept {
    const auto size = number();
    return size ? take(*size) : std::nullopt;
  }

 private:
  std::string_view left_;
};

result<> read_values(reader& from, ticket& into) {
  while (!from.empty()) {
    const auto name = from.bytes();
    const auto value = name ? from.bytes() : std::nullopt;
    if (!value) return refused("with a broken value");
    into.values.emplace_back(*name, *value);
  }
  return {};
}

}  // namespace

std::string ticket::live_key() const { return "curfew:{" + origin + '}'; }

std::string ticket::live_field() const { return std::to_string(number); }

result<std::string> ticket::text(std::string_view key) const {
  const auto name = from_base64url(origin);
  if (!name || name->size() != origin_bytes)
    throw std::invalid_argument("curfew::remote::ticket: not an origin");
  std::string payload(1, static_cast<char>((key.empty() ? 0U : is_signed) | (remaining ? has_deadline : 0U)));
  payload += *name;
  append_number(payload, number);
  if (remaining)
    append_number(payload, remaining->count() > 0 ? static_cast<std::uint64_t>(remaining->count()) : 0);
  for (const auto& [value_name, value] : values) {
    append_bytes(payload, value_name);
    append_bytes(payload, value);
  }
  if (!key.empty()) payload += mac_of(key, payload);
  std::string made = std::string(prefix) + to_base64url(payload);
  if (made.size() > max_ticket_size) return error(errc::too_large, "making a ticket");
  return made;
}

result<ticket> ticket::parse(std::string_view text, std::string_view key) {
  if (text.size() > max_ticket_size) return refused("that is too long");
  if (!text.starts_with(prefix)) return refused("of an unknown kind");
  const auto decoded = from_base64url(text.substr(prefix.size()));
  if (!decoded) return refused("with a wrong character, or cut off");
  std::string_view payload = *decoded;
  if (payload.empty()) return refused("that is empty");
  const unsigned flags = static_cast<unsigned char>(payload.front());
  if ((flags & ~(is_signed | has_deadline)) != 0) return refused("of an unknown kind");
  if ((flags & is_signed) == 0) {
    if (!key.empty()) return refused("without a signature");
  } else {
    if (key.empty()) return refused("with a signature, for which there is no key here");
    if (payload.size() <= mac_bytes) return refused("that is cut off");
    const std::string_view mac = payload.substr(payload.size() - mac_bytes);
    payload.remove_suffix(mac_bytes);
    if (::CRYPTO_memcmp(mac.data(), mac_of(key, payload).data(), mac_bytes) != 0)
      return refused("with a wrong signature");
  }
  reader from(payload.substr(1));
  ticket made;
  const auto origin = from.take(origin_bytes);
  if (!origin) return refused("that is cut off");
  made.origin = to_base64url(*origin);
  const auto number = from.number();
  if (!number) return refused("with a broken number");
  made.number = *number;
  if ((flags & has_deadline) != 0) {
    const auto remaining = from.number();
    using rep = std::chrono::milliseconds::rep;
    if (!remaining || *remaining > static_cast<std::uint64_t>(std::numeric_limits<rep>::max()))
      return refused("with a broken deadline");
    made.remaining = std::chrono::milliseconds(static_cast<rep>(*remaining));
  }
  if (auto read = read_values(from, made); !read) return read.error();
  return made;
}

}  // namespace curfew::remote
