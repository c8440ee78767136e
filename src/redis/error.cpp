#include <curfew/redis/error.hpp>
#include <ostream>
#include <string>
#include <utility>

namespace curfew::redis {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew.redis"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::connection_failed:
        return "no connection to Redis";
      case errc::connection_lost:
        return "connection to Redis lost";
      case errc::wrong_type:
        return "the key holds another kind of value";
      case errc::no_script:
        return "Redis does not know the script";
      case errc::busy:
        return "Redis runs a script";
      case errc::loading:
        return "Redis loads its data";
      case errc::read_only:
        return "a read-only replica";
      case errc::out_of_memory:
        return "Redis has no memory left";
      case errc::not_allowed:
        return "not allowed";
      case errc::aborted:
        return "the transaction was aborted";
      case errc::moved:
        return "another node of the cluster has the key";
      case errc::cluster_down:
        return "the cluster is down";
      case errc::conversion:
        return "an answer of another type";
      case errc::too_large:
        return "too large";
      case errc::protocol:
        return "not the protocol of Redis";
      case errc::bad_url:
        return "not the URL of a Redis";
      case errc::other:
        return "Redis error";
    }
    return "unknown Redis error " + std::to_string(code);
  }

  /// Also what makes an error transient.
  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<errc>(code)) {
      case errc::busy:
      case errc::loading:
      case errc::cluster_down:
        return std::errc::resource_unavailable_try_again;
      case errc::connection_failed:
        return std::errc::connection_refused;
      case errc::connection_lost:
        return std::errc::connection_reset;
      default:
        return {code, *this};
    }
  }
};

constinit const category the_category;

}  // namespace

const std::error_category& redis_category() noexcept { return the_category; }

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), the_category}; }

error::error(std::error_code code, std::string doing, std::string text, redis::outcome became,
             curfew::cause why)
    : curfew::error(code, std::move(doing), std::move(why)),
      text_(std::move(text)),
      outcome_(became) {}

error::error(curfew::error other) : curfew::error(std::move(other)), outcome_(outcome::did_not_happen) {}

std::string error::message() const {
  std::string line = curfew::error::message();
  if (!text_.empty()) line += " (" + text_ + ')';
  if (outcome_ == outcome::unknown) line += " (it may have happened)";
  return line;
}

std::ostream& operator<<(std::ostream& out, const error& e) { return out << e.message(); }

}  // namespace curfew::redis
