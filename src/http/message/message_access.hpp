#pragma once

#include <cstdint>
#include <curfew/http/message.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace curfew::http {

/// The body of a request that is not in memory: a file, or a source.
struct request::streamed {
  body_source source;  ///< Empty: a file.
  repeatable again = repeatable::yes;
  std::string path;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
};

/// Lets the server fill in what a handler reads, and the client read what is streamed.
struct request_access {
  using streamed_body = request::streamed;

  static const std::shared_ptr<const streamed_body>& streamed(const request& r) noexcept {
    return r.streamed_;
  }
  static std::string& method(request& r) noexcept { return r.method_; }
  static std::string& target(request& r) noexcept { return r.target_; }
  static const std::vector<std::string>& secrets(const request& r) noexcept { return r.secrets_; }
  /// Makes it a request without a body, of another method.
  static void become(request& r, std::string method) {
    r.method_ = std::move(method);
    r.body_.clear();
    r.streamed_.reset();
  }
  static std::string& body(request& r) noexcept { return r.body_; }
  static std::string& path(request& r) noexcept { return r.path_; }
  static std::string& remote(request& r) noexcept { return r.remote_; }
  static std::string& client(request& r) noexcept { return r.client_; }
  static bool& https(request& r) noexcept { return r.https_; }
  static std::shared_ptr<const peer_certificate>& certificate(request& r) noexcept { return r.certificate_; }
  static body_reader& reader(request& r) noexcept { return r.reader_; }
  static std::vector<std::pair<std::string, std::string>>& params(request& r) noexcept { return r.params_; }

  /// Makes it ready for the next request of the same connection.
  static void clear(request& r) noexcept {
    r.method_.clear();
    r.target_.clear();
    r.fields_ = {};
    r.body_.clear();
    r.path_.clear();
    r.params_.clear();
  }
};

/// Lets the client fill in what only it knows, and the server send a file.
struct response_access {
  static std::shared_ptr<const file_body>& file(response& r) noexcept { return r.file_; }
  static const std::shared_ptr<const file_body>& file(const response& r) noexcept { return r.file_; }
  static http::timings& timings(response& r) noexcept { return r.timings_; }
};

}  // namespace curfew::http
