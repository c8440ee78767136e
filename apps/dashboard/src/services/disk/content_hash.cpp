#include "services/disk/content_hash.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

namespace {

constexpr std::size_t chunk_size = 128 * 1024;  // some 0.2 ms of work between two looks at the context

struct free_digest {
  void operator()(EVP_MD_CTX* digest) const noexcept { ::EVP_MD_CTX_free(digest); }
};

}  // namespace

std::optional<content_hash> hash_file(const curfew::context& ctx, const std::string& path,
                                      std::uint64_t limit,
                                      const std::function<void(std::uint64_t)>& chunk_read) {
  // O_NONBLOCK: what was a file when the tree was walked may be a pipe by now.
  const file_descriptor fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat about{};
  if (!fd || ::fstat(fd.get(), &about) != 0 || !S_ISREG(about.st_mode)) return std::nullopt;

  const std::unique_ptr<EVP_MD_CTX, free_digest> digest(::EVP_MD_CTX_new());
  if (!digest || ::EVP_DigestInit_ex(digest.get(), ::EVP_blake2b512(), nullptr) != 1) return std::nullopt;
  std::vector<unsigned char> chunk(static_cast<std::size_t>(std::min<std::uint64_t>(limit, chunk_size)));
  while (limit > 0) {
    if (ctx.err()) return std::nullopt;
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(limit, chunk.size()));
    const ssize_t got = ::read(fd.get(), chunk.data(), wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    const auto length = static_cast<std::size_t>(got);
    if (::EVP_DigestUpdate(digest.get(), chunk.data(), length) != 1) return std::nullopt;
    limit -= length;
    chunk_read(length);
  }
  content_hash hash{};
  if (::EVP_DigestFinal_ex(digest.get(), hash.data(), nullptr) != 1) return std::nullopt;
  return hash;
}

std::string short_hex(const content_hash& hash) {
  constexpr char digits[] = "0123456789abcdef";  // NOLINT(modernize-avoid-c-arrays)
  std::string hex;
  for (std::size_t i = 0; i < 16; ++i) {
    hex.push_back(digits[hash[i] >> 4U]);
    hex.push_back(digits[hash[i] & 15U]);
  }
  return hex;
}

}  // namespace curfew_dashboard
