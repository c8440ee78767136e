#pragma once

#include "code.hpp"

namespace curfew::lint {

/// A loop that goes on until something in it leaves: `while (true)`, `for (;;)`, `do … while (true)`.
struct endless_loop_of {
  const clang::Stmt* whole;
  const clang::Stmt* body;
};

/// Those of a function itself, not of lambdas in it, outer ones first.
[[nodiscard]] llvm::SmallVector<endless_loop_of, 2> endless_loops_of(const clang::FunctionDecl& function,
                                                                     const clang::ASTContext& ast);

/// Something in it leaves the loop: break, return, throw, goto, a call that does not return. A `co_yield` counts: the
/// consumer of a generator need not ask for the next value.
[[nodiscard]] bool has_way_out(const endless_loop_of& loop);

/// The function, or for a lambda the outermost one around it.
[[nodiscard]] const clang::FunctionDecl& outermost(const clang::FunctionDecl& function);

}  // namespace curfew::lint
