#pragma once

#include <clang/AST/ASTContext.h>
#include <clang/AST/ExprCXX.h>
#include <clang/AST/StmtCXX.h>
#include <clang/Basic/SourceManager.h>
#include <llvm/ADT/DenseSet.h>
#include <llvm/ADT/SmallVector.h>

#include <optional>
#include <string>

#include "walk.hpp"

/// What code says about contexts, as the checks ask it.
namespace curfew::lint {

/// Is `type`, or what it refers to, a curfew::context?
[[nodiscard]] bool is_context(clang::QualType type);
/// A cancel_scope, or a class that derives from it.
[[nodiscard]] bool is_scope(clang::QualType type);
/// A class, not a scope, whose `ctx()` gives a context: a request.
[[nodiscard]] bool is_request(clang::QualType type);
/// A result<T> of curfew.
[[nodiscard]] bool is_result(clang::QualType type);
/// The class `name` of a namespace in which `space` stands, at any depth, as `boost::asio` and `asio`.
[[nodiscard]] bool is_class(clang::QualType type, llvm::StringRef space, llvm::StringRef name);

/// A number, a text, a time or a container of std: neither can be called, nor has a context.
[[nodiscard]] bool is_datum(clang::QualType type);

/// Is it the function or class `name` of the namespace curfew itself?
[[nodiscard]] bool is_of_curfew(const clang::NamedDecl* declaration, llvm::StringRef name);
/// Does it stand in the namespace curfew, at any depth?
[[nodiscard]] bool is_in_curfew(const clang::Decl* declaration);
/// The function that a call names; null where that is not known yet, as in templates.
[[nodiscard]] const clang::FunctionDecl* callee_of(const clang::Expr* call);
/// `call` is one of background() and todo() of curfew.
[[nodiscard]] bool is_root(const clang::Expr* call);

[[nodiscard]] bool is_coroutine(const clang::FunctionDecl& function);
/// What a call of it gives is awaited: an awaitable, or a class with a promise_type.
[[nodiscard]] bool is_awaitable(clang::QualType type);
[[nodiscard]] bool is_lambda(const clang::FunctionDecl& function);

/// The expression as it was written: without conversions, copies and std::move around it.
[[nodiscard]] const clang::Expr* spelled(const clang::Expr* expression);

/// A variable, or a part of one: `ctx`, `request.ctx()`, `this->ctx_`.
struct place {
  const clang::ValueDecl* root = nullptr;  // null: this
  llvm::SmallVector<const clang::ValueDecl*, 2> path;

  friend bool operator==(const place& a, const place& b) { return a.root == b.root && a.path == b.path; }
};
[[nodiscard]] std::optional<place> place_of(const clang::Expr* expression);

/// The text of an expression; empty where a macro is part of it.
[[nodiscard]] std::string text_of(clang::SourceRange range, const clang::ASTContext& ast);

/// Does it come from a macro of another library, where nothing can be changed?
[[nodiscard]] bool is_in_macro(clang::SourceLocation where, const clang::ASTContext& ast);

/// A context that a function can name.
struct reach {
  std::string expression;                  // how it is written there
  const clang::ValueDecl* from = nullptr;  // the parameter, the variable or the member
};
/// Of what is around a lambda: what it captures, or also what its `[&]` or `[=]` would.
enum class captures { used, possible };
/// The nearest of them: a parameter, what a lambda captures, the `ctx()` of a parameter.
[[nodiscard]] std::optional<reach> context_in_reach(const clang::FunctionDecl& function, captures of);

/// The variables of a function that contexts have something to do with: contexts, scopes, what was made from them.
class obedient {
 public:
  explicit obedient(const clang::FunctionDecl& function);

  /// Is one of them, or a context, anywhere in `part`? In lambdas, too.
  [[nodiscard]] bool in(const clang::Stmt* part) const;
  /// An on_done, an after_func or a stop_callback is there, which can interrupt whatever blocks.
  [[nodiscard]] bool interrupts() const { return interrupts_; }

 private:
  llvm::DenseSet<const clang::ValueDecl*> variables_;
  bool interrupts_ = false;
};

}  // namespace curfew::lint
