#include <utility>
#include <vector>

#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

/// `auto scope = with_timeout(ctx, 3s);`
struct made {
  const VarDecl* scope;
  place parent;
  std::string parent_text;
  SourceLocation block_end;
};

bool derives(const FunctionDecl* callee) {
  for (const char* name : {"with_cancel", "with_timeout", "with_deadline", "with_idle_timeout",
                           "with_stop_token", "with_hangup"}) {
    if (is_of_curfew(callee, name)) return true;
  }
  return false;
}

class find_scopes : public own_code {
 public:
  explicit find_scopes(ASTContext& ast) : ast_(ast) {}

  bool TraverseCompoundStmt(CompoundStmt* block) override {
    const SourceLocation around = std::exchange(block_end_, block->getRBracLoc());
    const bool goes_on = own_code::TraverseCompoundStmt(block);
    block_end_ = around;
    return goes_on;
  }
  bool VisitVarDecl(VarDecl* variable) override {
    if (!variable->isLocalVarDecl() || variable->isStaticLocal() || variable->getType()->isReferenceType())
      return true;
    if (!is_scope(variable->getType()) || !variable->hasInit() || variable->hasAttr<UnusedAttr>())
      return true;
    const auto* call = dyn_cast<CallExpr>(spelled(variable->getInit()));
    if (call == nullptr || call->getNumArgs() == 0 || !derives(call->getDirectCallee())) return true;
    const Expr* argument = spelled(call->getArg(0));
    auto parent = place_of(argument);
    if (parent)
      found.push_back({variable, std::move(*parent), text_of(argument->getSourceRange(), ast_), block_end_});
    return true;
  }

  std::vector<made> found;

 private:
  ASTContext& ast_;
  SourceLocation block_end_;
};

class find_uses : public tree_walk {
 public:
  find_uses(const made& of, ASTContext& ast) : of_(of), ast_(ast) {}

  bool TraverseLambdaCapture(LambdaExpr* lambda, const LambdaCapture* capture, Expr* value) override {
    // What is captured as it is counts where the lambda's body uses it.
    if (!lambda->isInitCapture(capture)) return true;
    return tree_walk::TraverseLambdaCapture(lambda, capture, value);
  }
  bool TraverseCXXMemberCallExpr(CXXMemberCallExpr* call) override {
    const auto* object = dyn_cast_or_null<DeclRefExpr>(spelled(call->getImplicitObjectArgument()));
    const CXXMethodDecl* method = call->getMethodDecl();
    if (object != nullptr && object->getDecl() == of_.scope && method != nullptr &&
        method->getIdentifier() != nullptr &&
        (method->getName() == "cancel" || method->getName() == "touch" || method->getName() == "canceler")) {
      // It can end what runs under it, but puts nothing there.
      for (Expr* argument : call->arguments()) {
        if (!TraverseStmt(argument)) return false;
      }
      return true;
    }
    return tree_walk::TraverseCXXMemberCallExpr(call);
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (named->getDecl() == of_.scope) is_used = true;
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    if (const auto* by = dyn_cast<CXXOperatorCallExpr>(call); by != nullptr && by->getOperator() != OO_Call)
      return true;
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee != nullptr &&
        (derives(callee) || is_of_curfew(callee, "merge") || is_of_curfew(callee, "without_cancel"))) {
      return true;
    }
    const bool is_operator = isa<CXXOperatorCallExpr>(call);
    for (unsigned i = is_operator ? 1 : 0; i < call->getNumArgs(); ++i) {
      const unsigned parameter = is_operator && isa_and_nonnull<CXXMethodDecl>(callee) ? i - 1 : i;
      note(call->getArg(i), takes_context(callee, parameter));
    }
    return true;
  }
  bool VisitCXXConstructExpr(CXXConstructExpr* made) override {
    if (is_context(made->getType())) return true;
    for (unsigned i = 0; i < made->getNumArgs(); ++i)
      note(made->getArg(i), takes_context(made->getConstructor(), i));
    return true;
  }

  struct use {
    const Expr* where;
    bool converts;  // the parameter is a context, to which a scope converts
  };
  bool is_used = false;
  std::vector<use> handed_on;

 private:
  static bool takes_context(const FunctionDecl* callee, unsigned parameter) {
    if (callee == nullptr || parameter >= callee->getNumParams() || callee->isTemplateInstantiation())
      return false;
    return is_context(callee->getParamDecl(parameter)->getType());
  }
  void note(const Expr* argument, bool converts) {
    const Expr* bare = spelled(argument);
    if (bare == nullptr || !(is_context(bare->getType()) || is_scope(bare->getType()))) return;
    const SourceManager& sources = ast_.getSourceManager();
    const SourceLocation at = bare->getBeginLoc();
    if (!sources.isBeforeInTranslationUnit(of_.scope->getEndLoc(), at)) return;
    if (!sources.isBeforeInTranslationUnit(at, of_.block_end)) return;
    if (place_of(bare) == of_.parent) handed_on.push_back({bare, converts});
  }

  const made& of_;
  ASTContext& ast_;
};

}  // namespace

void scope_not_used::look_at(const FunctionDecl& function, ASTContext& ast) {
  find_scopes scopes(ast);
  scopes.TraverseStmt(function.getBody());
  for (const made& each : scopes.found) {
    if (is_in_macro(each.scope->getLocation(), ast) || each.scope->getLocation().isMacroID()) continue;
    find_uses uses(each, ast);
    uses.TraverseStmt(function.getBody());
    if (uses.is_used) continue;
    if (uses.handed_on.empty()) {
      diag(each.scope->getLocation(), "nothing runs under %0: hand it on as the context") << each.scope;
      continue;
    }
    auto told = diag(uses.handed_on.front().where->getBeginLoc(),
                     "'%0' is handed on, and not %1, which nothing uses: its end reaches nobody")
                << each.parent_text << each.scope;
    for (const find_uses::use& use : uses.handed_on) {
      const SourceRange range = use.where->getSourceRange();
      if (range.getBegin().isMacroID() || range.getEnd().isMacroID()) continue;
      told << FixItHint::CreateReplacement(range,
                                           each.scope->getName().str() + (use.converts ? "" : ".ctx()"));
    }
  }
}

}  // namespace curfew::lint
