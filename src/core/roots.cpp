#include <array>
#include <cstddef>
#include <curfew/core/context.hpp>
#include <curfew/core/errc.hpp>
#include <new>

#include "core/tree.hpp"

namespace curfew {

constinit detail::end_code_table detail::end_codes;
constinit detail::node* detail::background_node = nullptr;

namespace {

/// Two places that never end; made at the first call of either, never destroyed.
struct immortal_roots {
  alignas(detail::root_node) std::byte storage[2][sizeof(detail::root_node)];
  context background;
  context todo;

  immortal_roots() noexcept
      : background(detail::tree::adopt(new(storage[0]) detail::root_node(detail::system_clock_source()))),
        todo(detail::tree::adopt(new(storage[1]) detail::root_node(detail::system_clock_source()))) {
    new (&detail::end_codes.code)
        std::array<std::error_code, 3>{std::error_code(0, curfew_category()), make_error_code(errc::canceled),
                                       make_error_code(errc::deadline_exceeded)};
    detail::background_node = detail::tree::of(background);
  }

  static const immortal_roots& get() noexcept {
    alignas(immortal_roots) static std::byte place[sizeof(immortal_roots)];
    static const auto* made = new (place) immortal_roots();
    return *made;
  }
};

}  // namespace

const context& background() noexcept { return immortal_roots::get().background; }

const context& todo(std::source_location where) noexcept {
  detail::remember_todo(where);
  return immortal_roots::get().todo;
}

}  // namespace curfew
