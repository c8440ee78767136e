#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <curfew/redis/script.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace curfew::redis {

namespace {

std::string sha1(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr) != 1)
    throw std::runtime_error("curfew::redis::script: OpenSSL gives no SHA-1");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex += digits[digest.at(i) >> 4U];
    hex += digits[digest.at(i) & 0xfU];
  }
  return hex;
}

}  // namespace

script::script(std::string_view lua) : lua_(std::make_shared<const std::string>(lua)), sha_(sha1(lua)) {}

detail::request script::request(const words& keys, const words& arguments) const {
  const std::string count = std::to_string(keys.list().size());
  std::vector<std::string_view> rest{count};
  rest.insert(rest.end(), keys.list().begin(), keys.list().end());
  rest.insert(rest.end(), arguments.list().begin(), arguments.list().end());
  return {lua_, sha_, rest};
}

}  // namespace curfew::redis
