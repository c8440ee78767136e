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

/// The value of a result, where there has to be an object: where it has none, std::monostate.
template <class Result>
using value_of = std::conditional_t<std::is_void_v<typename Result::value_type>, std::monostate,
                                    typename Result::value_type>;
template <class F>
using outcome_value = value_of<outcome<F>>;

template <class T>
result<T>&& as_outcome(result<T>&& returned) noexcept {
  return std::move(returned);
}
inline result<> as_outcome(std::error_code returned) {
  if (returned) return std::unexpected(error(returned));
  return {};
}

/// Calls `f(ctx)`. Throws: what it throws.
template <class F>
outcome<F&> call_with(F& f, const context& ctx) {
  using returned = std::invoke_result_t<F&, const context&>;
  if constexpr (std::is_void_v<returned>) {
    std::invoke(f, ctx);
    return {};
  } else if constexpr (std::is_same_v<std::remove_cvref_t<returned>, std::error_code>) {
    return as_outcome(std::invoke(f, ctx));
  } else {
    return std::invoke(f, ctx);
  }
}

}  // namespace curfew::detail
