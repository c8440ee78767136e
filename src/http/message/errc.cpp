#include <curfew/http/errc.hpp>
#include <string>

namespace curfew::http {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew.http"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::client_gone:
        return "client gone";
      case errc::handler_done:
        return "handler done";
      case errc::shutdown:
        return "server is shutting down";
      case errc::answered:
        return "the server has answered already";
      case errc::bad_url:
        return "not an http:// or https:// URL";
      case errc::name_not_found:
        return "host name not found";
      case errc::connection_refused:
        return "connection refused";
      case errc::connection_lost:
        return "connection lost";
      case errc::tls_failure:
        return "TLS failure";
      case errc::truncated_body:
        return "connection lost before the end of the body";
      case errc::bad_response:
        return "the response is not HTTP";
      case errc::too_large:
        return "response larger than the limit";
      case errc::too_many_redirects:
        return "too many redirects";
      case errc::bad_address:
        return "not an address to listen on";
      case errc::proxy_refused:
        return "the proxy does not make the connection";
      case errc::address_refused:
        return "no connections to that address are allowed";
      case errc::redirect_refused:
        return "the redirect is not followed";
      case errc::retry_too_late:
        return "the server asks to wait beyond the deadline";
      case errc::request_refused:
        return "the request is not sent";
      case errc::response_refused:
        return "the response is not taken";
    }
    return "unknown http error " + std::to_string(code);
  }

  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<errc>(code)) {
      case errc::connection_refused:
        return std::errc::connection_refused;
      case errc::connection_lost:
      case errc::truncated_body:
        return std::errc::connection_reset;
      default:
        return {code, *this};
    }
  }
};

constinit const category the_category;

}  // namespace

const std::error_category& http_category() noexcept { return the_category; }

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), the_category}; }

}  // namespace curfew::http
