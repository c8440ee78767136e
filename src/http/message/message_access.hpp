#pragma once

#include <curfew/http/message.hpp>
#include <string>
#include <utility>
#include <vector>

namespace curfew::http {

/// Lets the server fill in what a handler reads.
struct request_access {
  static std::string& method(request& r) noexcept { return r.method_; }
  static std::string& target(request& r) noexcept { return r.target_; }
  static std::string& body(request& r) noexcept { return r.body_; }
  static std::string& path(request& r) noexcept { return r.path_; }
  static std::string& remote(request& r) noexcept { return r.remote_; }
  static std::string& client(request& r) noexcept { return r.client_; }
  static bool& https(request& r) noexcept { return r.https_; }
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

}  // namespace curfew::http
