#include "http/client/file_upload.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

namespace curfew::http {

namespace {

error cannot(std::error_code code, const std::string& path) {
  return error(code, "opening the file " + path);
}

}  // namespace

result<std::shared_ptr<upload>> file_upload::open(std::string path, std::uint64_t offset,
                                                  std::optional<std::uint64_t> length) {
  // Nonblocking: the opening of a pipe would wait for its other end.
  descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat is{};
  if (!file.is_open() || ::fstat(file.get(), &is) != 0)
    return cannot(std::error_code(errno, std::generic_category()), path);
  if (!S_ISREG(is.st_mode)) {
    const auto why = S_ISDIR(is.st_mode) ? std::errc::is_a_directory : std::errc::invalid_argument;
    return cannot(std::make_error_code(why), path);
  }
  const auto size = static_cast<std::uint64_t>(is.st_size);
  if (offset > size || length.value_or(0) > size - offset) {
    return error(std::make_error_code(std::errc::invalid_argument),
                 "opening the file " + path + ", which ends before the part that is to be sent");
  }
  return std::shared_ptr<upload>(std::make_shared<file_upload>(std::move(path), std::move(file), offset,
                                                               length.value_or(size - offset)));
}

file_upload::file_upload(std::string path, descriptor file, std::uint64_t offset, std::uint64_t length)
    : path_(std::move(path)),
      file_(std::move(file)),
      offset_(offset),
      length_(length) {}

upload::state file_upload::look(std::string_view& bytes) {
  if (stopped_) return state::waits;
  if (failure_) return state::failed;
  if (ready_.empty()) {
    if (read_ == length_) return state::over;
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<buffer>();
    const std::span<char> into = buffer_->bytes;
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), length_ - read_));
    ssize_t got = 0;
    do {
      got = ::pread(file_.get(), into.data(), wanted, static_cast<off_t>(offset_ + read_));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
      failure_ = got == 0 ? std::make_error_code(std::errc::io_error)
                          : std::error_code(errno, std::generic_category());
      return state::failed;
    }
    ready_ = {into.data(), static_cast<std::size_t>(got)};
    read_ += ready_.size();
  }
  bytes = ready_;
  return state::bytes;
}

bool file_upload::rewind() {
  ready_ = {};
  read_ = 0;
  return true;
}

std::string file_upload::detail() const {
  if (failure_ == std::errc::io_error) return "the file " + path_ + " has become shorter, or cannot be read";
  return "reading the file " + path_;
}

}  // namespace curfew::http
