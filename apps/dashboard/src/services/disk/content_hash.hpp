#pragma once

#include <array>
#include <cstdint>
#include <curfew/core/context.hpp>
#include <functional>
#include <optional>
#include <string>

namespace curfew_dashboard {

/// BLAKE2b-512 of a file's bytes, or of its beginning.
using content_hash = std::array<unsigned char, 64>;

/// The hash of the first `limit` bytes of a regular file. Looks at ctx at each chunk.
/// \param chunk_read  Called with the size of each chunk.
/// \return none if the file cannot be read, is not a regular file, or ctx has ended.
[[nodiscard]] std::optional<content_hash> hash_file(const curfew::context& ctx, const std::string& path,
                                                    std::uint64_t limit,
                                                    const std::function<void(std::uint64_t)>& chunk_read);

/// The first 16 bytes in hexadecimal digits.
[[nodiscard]] std::string short_hex(const content_hash& hash);

}  // namespace curfew_dashboard
