#pragma once

#include <curfew/core/context.hpp>
#include <curfew/core/error.hpp>
#include <expected>
#include <functional>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace curfew::detail {

template <class Returned>
struct outcome_of {
  static_assert(std::is_void_v<Returned> || std::is_same_v<Returned, std::error_code>,
                "curfew: a function that is called with a context here returns curfew::result<T>; or void, "
                "curfew::result<> or std::error_code where it has no value");
  using type = result<>;
};
template <class T>
struct outcome_of<result<T>> {
  using type = result<T>;
};

/// What a function that is called with a context returns, as a result<T>.
template <class F>
using outcome = outcome_of<std::remove_cvref_t<std::invoke_result_t<F, const context&>>>::type;

/// The value of that, where there has to be an object: of a function that has none, std::monostate.
template <class F>
using outcome_value = std::conditional_t<std::is_void_v<typename outcome<F>::value_type>, std::monostate,
                                         typename outcome<F>::value_type>;

/// Calls `f(ctx)`. Throws: what it throws.
template <class F>
outcome<F&> call_with(F& f, const context& ctx) {
  using returned = std::remove_cvref_t<std::invoke_result_t<F&, const context&>>;
  if constexpr (std::is_void_v<returned>) {
    std::invoke(f, ctx);
    return {};
  } else if constexpr (std::is_same_v<returned, std::error_code>) {
    if (const std::error_code code = std::invoke(f, ctx)) return std::unexpected(error(code));
    return {};
  } else {
    return std::invoke(f, ctx);
  }
}

}  // namespace curfew::detail
