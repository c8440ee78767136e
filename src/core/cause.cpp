#include <curfew/core/cause.hpp>
#include <curfew/core/errc.hpp>
#include <ostream>

#include "core/tree.hpp"

namespace curfew {

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

}  // namespace curfew
