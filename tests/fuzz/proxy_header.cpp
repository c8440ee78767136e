// The PROXY protocol's header, any bytes: however it is cut it is read to the same end, and says what another reading of
// the whole of it says.
#include "http/wire/proxy_header.hpp"

#include <arpa/inet.h>

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.hpp"

namespace {

using curfew::fuzz::expect;
using curfew::http::proxy_header;
using progress = proxy_header::progress;
using source = proxy_header::source;

constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};

struct outcome {
  progress how = progress::need_more;
  std::size_t taken = 0;
  source from = source::none;
  std::string address;
  bool by_tls = false;

  bool operator==(const outcome&) const = default;
};

outcome read(std::string_view bytes, unsigned seed) {
  proxy_header header;
  curfew::fuzz::cutter cuts(bytes, seed);
  outcome o;
  while (!cuts.over() && o.how == progress::need_more) {
    const std::string piece(cuts.next());  // of its own, so that a byte beyond it is noticed
    std::string_view rest = piece;
    o.how = header.feed(rest);
    expect(o.how != progress::need_more || rest.empty(), "what it has taken it keeps");
    o.taken += piece.size() - rest.size();
  }
  if (o.how != progress::done) return o;
  o.from = header.from();
  if (o.from == source::address) o.address = header.address().to_string();
  o.by_tls = header.by_tls();
  return o;
}

// The same once more, from the whole header and without a state.

outcome failed() {
  outcome o;
  o.how = progress::failed;
  return o;
}

std::string address_in(int family, const void* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return ::inet_ntop(family, bytes, text.data(), text.size());
}

outcome read_line(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.substr(0, 107).find('\n'));
  if (line.size() == bytes.size()) return bytes.size() < 107 ? outcome() : failed();
  if (line.size() >= 107 || !line.ends_with('\r')) return failed();
  std::vector<std::string> words(1);
  for (const char c : line.substr(0, line.size() - 1)) {
    if (c == ' ') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  outcome o;
  o.how = progress::done;
  o.taken = line.size() + 1;
  if (words[1] == "UNKNOWN") return o;
  const bool v6 = words[1] == "TCP6";
  if ((!v6 && words[1] != "TCP4") || words.size() != 6) return failed();
  const int family = v6 ? AF_INET6 : AF_INET;
  for (const std::size_t at : {3U, 2U}) {
    std::array<unsigned char, 16> binary{};
    if (words[at].find('\0') != std::string::npos ||
        ::inet_pton(family, words[at].c_str(), binary.data()) != 1)
      return failed();
    o.address = address_in(family, binary.data());
  }
  for (const std::size_t at : {4U, 5U}) {
    char* end = nullptr;
    if (words[at].empty() || words[at].find_first_not_of("0123456789") != std::string::npos) return failed();
    const auto port = std::strtoul(words[at].c_str(), &end, 10);
    if (port > 65535 || std::to_string(port) != words[at]) return failed();
  }
  o.from = source::address;
  return o;
}

outcome read_binary(std::string_view bytes) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  const auto number = [&](std::size_t at) { return std::size_t{byte(at)} * 256 + byte(at + 1); };
  if (bytes.size() < 16) return {};
  const std::size_t end = 16 + number(14);
  if (byte(12) != 0x20 && byte(12) != 0x21) return failed();
  outcome o;
  std::size_t at = end;  // of the TLVs
  const bool proxied = byte(12) == 0x21;
  if (proxied && byte(13) != 0) {
    if (byte(13) != 0x11 && byte(13) != 0x21 && byte(13) != 0x31) return failed();
    at = 16 + (byte(13) == 0x11 ? 12U : byte(13) == 0x21 ? 36U : 216U);
    if (at > end) return failed();
  }
  if (bytes.size() < end) return o;
  o.how = progress::done;
  o.taken = end;
  if (!proxied || byte(13) == 0) return o;
  o.from = byte(13) == 0x31 ? source::unix_socket : source::address;
  if (o.from == source::address) o.address = address_in(byte(13) == 0x11 ? AF_INET : AF_INET6, &bytes[16]);
  while (at + 3 <= end) {
    if (byte(at) == 0x20 && number(at + 1) > 0 && at + 3 < end) o.by_tls = (byte(at + 3) & 1) != 0;
    at += 3 + number(at + 1);
  }
  return o;
}

outcome read_at_once(std::string_view bytes) {
  if (bytes.starts_with("PROXY ")) return read_line(bytes);
  if (bytes.starts_with(signature)) return read_binary(bytes);
  return signature.starts_with(bytes) || std::string_view("PROXY ").starts_with(bytes) ? outcome() : failed();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const curfew::fuzz::input in(data, size);
  const outcome whole = read(in.message, 0);
  for (const unsigned seed : {1U, in.seed})
    expect(read(in.message, seed) == whole, "in pieces it is the same");
  outcome other = read_at_once(in.message);
  if (whole.how != progress::done) other.taken = whole.taken;
  expect(whole == other, "another reading says the same");
  return 0;
}
