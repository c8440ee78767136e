#include "http/client/file_upload.hpp"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "http/wire/regular_file.hpp"

namespace curfew::http {

result<std::shared_ptr<upload>> file_upload::open(std::string path, std::uint64_t offset,
                                                  std::optional<std::uint64_t> length) {
  auto opened = regular_file::open(path);
  if (!opened) return opened.error();
  const auto size = opened->size();
  if (offset > size || length.value_or(0) > size - offset) {
    return error(std::make_error_code(std::errc::invalid_argument),
                 "opening the file " + path + ", which ends before the part that is to be sent");
  }
  return std::shared_ptr<upload>(std::make_shared<file_upload>(std::move(path), std::move(opened->file),
                                                               offset, length.value_or(size - offset)));
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
    const ssize_t got = read_at(file_.get(), into.first(wanted), offset_ + read_);
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
