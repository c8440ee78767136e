#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

/// The roots that are handed on, or that a variable is made from. Not those in a comparison or a choice, nor those that are
/// written over a context, which is how it is given up.
class find_roots : public own_code {
 public:
  bool VisitCallExpr(CallExpr* call) override {
    if (const auto* by = dyn_cast<CXXOperatorCallExpr>(call); by != nullptr && by->getOperator() != OO_Call)
      return true;
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee != nullptr && callee->isInStdNamespace()) return true;
    for (const Expr* argument : call->arguments()) note(argument);
    return true;
  }
  bool VisitCXXConstructExpr(CXXConstructExpr* made) override {
    if (is_context(made->getType())) return true;
    for (const Expr* argument : made->arguments()) note(argument);
    return true;
  }
  bool VisitVarDecl(VarDecl* variable) override {
    // One that can change is a place for the contexts to come.
    const QualType type = variable->getType();
    if (!type->isReferenceType() && is_context(type) && !type.isConstQualified()) return true;
    if (variable->isLocalVarDecl() && variable->hasInit()) note(variable->getInit());
    return true;
  }

  llvm::SmallVector<const Expr*, 4> found;

 private:
  void note(const Expr* argument) {
    if (isa<CXXDefaultArgExpr>(argument)) return;
    const Expr* bare = spelled(argument);
    if (bare != nullptr && is_root(bare) && !llvm::is_contained(found, bare)) found.push_back(bare);
  }
};

/// A context among the members of an object that is neither being made nor going.
std::optional<reach> member_in_reach(const FunctionDecl& function) {
  const auto* method = dyn_cast<CXXMethodDecl>(&function);
  if (method == nullptr || method->isStatic() || is_lambda(function)) return std::nullopt;
  if (isa<CXXConstructorDecl, CXXDestructorDecl>(method)) return std::nullopt;
  for (const FieldDecl* field : method->getParent()->fields()) {
    const llvm::StringRef name = field->getName();
    if (is_context(field->getType()) && (name == "ctx" || name == "ctx_" || name == "m_ctx"))
      return reach{name.str(), field};
  }
  return std::nullopt;
}

}  // namespace

void background_in_request::look_at(const FunctionDecl& function, ASTContext& ast) {
  auto near = context_in_reach(function, captures::possible);
  if (!near) near = member_in_reach(function);
  if (!near) return;
  find_roots roots;
  roots.TraverseStmt(function.getBody());
  for (const Expr* each : roots.found) {
    if (is_in_macro(each->getBeginLoc(), ast)) continue;
    const bool is_todo = is_of_curfew(callee_of(each), "todo");
    auto told = diag(each->getBeginLoc(),
                     "%select{'background()' ends|'todo()' ends}0 with no request, and '%1' is in reach: "
                     "hand that on; "
                     "'without_cancel(%1)' where the work must outlive it")
                << (is_todo ? 1 : 0) << near->expression;
    const SourceRange range = each->getSourceRange();
    if (!range.getBegin().isMacroID() && !range.getEnd().isMacroID()) {
      told << FixItHint::CreateReplacement(range, near->expression);
    }
  }
}

}  // namespace curfew::lint
