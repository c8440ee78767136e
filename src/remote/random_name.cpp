#include "remote/random_name.hpp"

#include <openssl/rand.h>

#include <array>
#include <string_view>
#include <system_error>

#include "remote/base64url.hpp"

namespace curfew::remote {

std::string random_name() {
  std::array<unsigned char, 15> bytes{};
  if (::RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::system_error(std::make_error_code(std::errc::io_error), "random numbers");
  std::string text;
  for (const auto each : bytes) text += static_cast<char>(each);
  return to_base64url(text);
}

}  // namespace curfew::remote
