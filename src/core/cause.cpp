#include <curfew/core/cause.hpp>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <curfew/core/error.hpp>
#include <ostream>
#include <utility>

#include "core/tree.hpp"

namespace curfew {

namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "curfew"; }

  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::canceled:
        return "canceled";
      case errc::deadline_exceeded:
        return "deadline exceeded";
    }
    return "curfew error " + std::to_string(code);
  }

  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<errc>(code)) {
      case errc::canceled:
        return std::errc::operation_canceled;
      case errc::deadline_exceeded:
        return std::errc::timed_out;
    }
    return {code, *this};
  }
};

constinit const category the_category;

}  // namespace

const std::error_category& curfew_category() noexcept { return the_category; }

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), the_category}; }

namespace detail {

void retain(const cause_record* record) noexcept {
  if (record != nullptr) const_cast<cause_record*>(record)->refs.fetch_add(1, std::memory_order_relaxed);
}

void release(const cause_record* record) noexcept {
  if (record != nullptr &&
      const_cast<cause_record*>(record)->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete record;
  }
}

const cause_record* cause_of_end(std::uint8_t code) noexcept {
  // The static references never go, so these are never deleted.
  alignas(cause_record) static std::byte storage[2][sizeof(cause_record)];
  static const cause_record* records[2] = {
      new (storage[0]) cause_record(make_error_code(errc::canceled), {}),
      new (storage[1]) cause_record(make_error_code(errc::deadline_exceeded), {}),
  };
  return records[code - 1];
}

}  // namespace detail

cause::cause(std::error_code code) : cause(code, std::string_view()) {}

cause::cause(std::error_code code, std::string_view text)
    : record_(code || !text.empty() ? new detail::cause_record(code, text) : nullptr) {}

cause::cause(const cause& other) noexcept : record_(other.record_) { detail::retain(record_); }

cause::~cause() { detail::release(record_); }

std::error_code cause::code() const noexcept { return record_ ? record_->code : std::error_code(); }

std::string cause::message() const {
  if (record_ == nullptr) return {};
  return record_->text.empty() ? record_->code.message() : record_->text;
}

bool operator==(const cause& a, const cause& b) noexcept {
  if (a.record_ == b.record_) return true;
  if (a.record_ == nullptr || b.record_ == nullptr) return false;
  return a.record_->code == b.record_->code && a.record_->text == b.record_->text;
}

std::ostream& operator<<(std::ostream& out, const cause& why) { return out << why.message(); }

error::error(std::error_code code, std::string doing, curfew::cause why)
    : code_(code),
      doing_(std::move(doing)),
      cause_(std::move(why)) {}

error error::ended(const context& ctx, std::string doing) {
  return error(ctx.err(), std::move(doing), ctx.cause());
}

bool error::transient() const noexcept {
  for (const std::errc passing :
       {std::errc::timed_out, std::errc::connection_refused, std::errc::connection_reset,
        std::errc::connection_aborted, std::errc::broken_pipe, std::errc::host_unreachable,
        std::errc::network_unreachable, std::errc::network_down, std::errc::resource_unavailable_try_again,
        std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
        std::errc::no_buffer_space}) {
    if (code_ == passing) return true;
  }
  return false;
}

std::string error::message() const {
  std::string text = doing_;
  if (!text.empty()) text += ": ";
  text += code_.message();
  if (const std::string why = cause_.message(); !why.empty() && why != code_.message()) {
    text += " (cause: " + why + ")";
  }
  return text;
}

std::ostream& operator<<(std::ostream& out, const error& e) { return out << e.message(); }

}  // namespace curfew
