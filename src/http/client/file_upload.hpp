#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/client/upload.hpp"
#include "http/wire/descriptor.hpp"

namespace curfew::http {

/// A part of a file, read by the thread that sends it.
class file_upload final : public upload {
 public:
  /// \param length  None: up to its end.
  static result<std::shared_ptr<upload>> open(std::string path, std::uint64_t offset,
                                              std::optional<std::uint64_t> length);
  /// For open.
  file_upload(std::string path, descriptor file, std::uint64_t offset, std::uint64_t length);

  [[nodiscard]] std::optional<std::uint64_t> length() const noexcept override { return length_; }
  state look(std::string_view& bytes) override;
  void consumed(std::size_t count) override { ready_.remove_prefix(count); }
  [[nodiscard]] bool rewind() override;
  void stop() noexcept override { stopped_ = true; }
  void settle() noexcept override {}
  [[nodiscard]] bool is_done() const override { return true; }
  [[nodiscard]] bool when_done(std::function<void()> /*then*/) override { return true; }
  [[nodiscard]] std::error_code failure() const override { return failure_; }
  [[nodiscard]] std::string detail() const override;
  void used_by(std::weak_ptr<upload_user> /*by*/) override {}

 private:
  /// Aligned, since malloc has large blocks begin 16 bytes behind that of a page: what the kernel copies there from a page
  /// of the file takes three times as long.
  struct alignas(64) buffer {
    std::array<char, 128 * 1024> bytes;
  };

  const std::string path_;
  const descriptor file_;
  const std::uint64_t offset_;
  const std::uint64_t length_;
  std::uint64_t read_ = 0;
  std::unique_ptr<buffer> buffer_;
  std::string_view ready_;
  std::error_code failure_;
  bool stopped_ = false;
};

}  // namespace curfew::http
