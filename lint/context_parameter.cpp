#include <llvm/ADT/StringSet.h>

#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

/// Where the parameter is used in a function: its name, and whether each use leaves it as it is.
class parameter_uses : public tree_walk {
 public:
  explicit parameter_uses(const ParmVarDecl* of) : of_(of) {}

  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (named->getDecl() == of_) {
      if (!llvm::is_contained(places, named->getLocation())) places.push_back(named->getLocation());
      ++uses_;
      // In a lambda that is not mutable, what it has captured is constant.
      if (named->getType().isConstQualified()) ++constant_;
    } else if (const auto* other = named->getDecl(); other->getIdentifier() != nullptr) {
      has_other_ctx |= other->getName() == "ctx";
    }
    return true;
  }
  bool VisitImplicitCastExpr(ImplicitCastExpr* cast) override {
    const auto* named = dyn_cast<DeclRefExpr>(cast->getSubExpr()->IgnoreParens());
    if (named != nullptr && named->getDecl() == of_ && cast->getType().isConstQualified() &&
        !named->getType().isConstQualified()) {
      ++constant_;
    }
    return true;
  }
  bool VisitMemberExpr(MemberExpr* member) override {
    const ValueDecl* named = member->getMemberDecl();
    has_other_ctx |=
        member->isImplicitAccess() && named->getIdentifier() != nullptr && named->getName() == "ctx";
    return true;
  }
  bool VisitNamedDecl(NamedDecl* declared) override {
    has_other_ctx |= declared->getIdentifier() != nullptr && declared->getName() == "ctx";
    return true;
  }

  /// It is used, and never moved from, assigned to, or handed on as one that may be.
  [[nodiscard]] bool is_left_alone() const { return uses_ != 0 && uses_ == constant_; }

  llvm::SmallVector<SourceLocation, 8> places;
  bool has_other_ctx = false;

 private:
  const ParmVarDecl* of_;
  unsigned uses_ = 0;
  unsigned constant_ = 0;
};

/// Is the function given to something that calls it, and that says what its parameters are?
class address_uses : public tree_walk {
 public:
  explicit address_uses(const FunctionDecl& of) : of_(of) {}

  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (named->getDecl()->getCanonicalDecl() == of_.getCanonicalDecl()) ++named_;
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    const auto* named = dyn_cast<DeclRefExpr>(call->getCallee()->IgnoreParenImpCasts());
    if (named != nullptr && named->getDecl()->getCanonicalDecl() == of_.getCanonicalDecl()) ++called_;
    return true;
  }
  [[nodiscard]] bool found() const { return named_ != called_; }

 private:
  const FunctionDecl& of_;
  unsigned named_ = 0;
  unsigned called_ = 0;
};

bool is_a_value(const FunctionDecl& function, ASTContext& ast) {
  address_uses values(function);
  values.TraverseDecl(ast.getTranslationUnitDecl());
  return values.found();
}

/// Something else sets the signature: a base, a rule of the language, what calls a lambda.
bool is_dictated(const FunctionDecl& function) {
  if (is_lambda(function) || function.isOverloadedOperator() || function.isMain() || function.isExternC() ||
      isa<CXXConversionDecl>(function)) {
    return true;
  }
  const auto* method = dyn_cast<CXXMethodDecl>(&function);
  return method != nullptr && (method->size_overridden_methods() != 0 || method->hasAttr<OverrideAttr>());
}

/// `c`, `context`, `my_context`: names that say nothing but what `ctx` says. Those of a role, as `parent`, say more.
bool says_only_context(llvm::StringRef name) {
  static const llvm::StringSet<> known = {"ctx",
                                          "c",
                                          "cx",
                                          "cc",
                                          "ct",
                                          "cntx",
                                          "ctxt",
                                          "cntxt",
                                          "contxt",
                                          "cont",
                                          "context",
                                          "thecontext",
                                          "thectx",
                                          "mycontext",
                                          "myctx",
                                          "acontext",
                                          "actx",
                                          "pctx",
                                          "mctx",
                                          "curfewctx",
                                          "curfewcontext",
                                          "contextarg",
                                          "ctxarg",
                                          "contextparam",
                                          "inctx",
                                          "incontext",
                                          "thiscontext",
                                          "thisctx",
                                          "currentcontext",
                                          "currentctx"};
  std::string bare;
  for (const char each : name) {
    if (each != '_') bare += llvm::toLower(each);
  }
  return name != "ctx" && known.contains(bare);
}

/// `ctx` names a member there.
bool is_of_class_with_ctx(const FunctionDecl& function) {
  const auto* method = dyn_cast<CXXMethodDecl>(&function);
  return method != nullptr &&
         !method->getParent()->lookup(&method->getASTContext().Idents.get("ctx")).empty();
}

/// The parameter's declaration, in front of its name.
SourceRange type_of(const ParmVarDecl* parameter) {
  const SourceLocation begin = parameter->getBeginLoc();
  const SourceLocation end = parameter->getTypeSpecEndLoc();
  return {begin, end};
}

std::string without(std::string text, llvm::StringRef word) {
  for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos;) text.erase(at, word.size());
  return text;
}

/// `const curfew::context&` becomes `curfew::context`, or the other way; in each declaration, or in none.
std::vector<FixItHint> written(const FunctionDecl& function, unsigned index, bool by_reference,
                               const ASTContext& ast) {
  std::vector<FixItHint> fixes;
  for (const FunctionDecl* each : function.redecls()) {
    const ParmVarDecl* parameter = each->getParamDecl(index);
    SourceRange range = type_of(parameter);
    std::string text = text_of(range, ast);
    if (text.empty() || text.find_first_of("[(<") != std::string::npos) return {};
    const bool has_sign = text.back() == '&';
    std::string bare = without(without(text, "const "), " const");
    while (!bare.empty() && (bare.back() == '&' || bare.back() == ' ')) bare.pop_back();
    if (!llvm::StringRef(bare).ends_with("context")) return {};
    if (by_reference == has_sign) continue;  // this declaration says it already
    fixes.push_back(FixItHint::CreateReplacement(range, by_reference ? "const " + bare + "&" : bare));
  }
  return fixes;
}

}  // namespace

void context_parameter::look_at(const FunctionDecl& function, ASTContext& ast) {
  llvm::SmallVector<unsigned, 2> contexts;
  for (const ParmVarDecl* parameter : function.parameters()) {
    const QualType type = parameter->getType();
    if (!type->isPointerType() && is_context(type)) contexts.push_back(parameter->getFunctionScopeIndex());
  }
  if (contexts.empty()) return;

  const bool coroutine = is_coroutine(function);
  for (const unsigned index : contexts) {
    const ParmVarDecl* parameter = function.getParamDecl(index);
    if (is_in_macro(parameter->getLocation(), ast)) continue;
    const QualType type = parameter->getType();
    if (coroutine && type->isReferenceType()) {
      if (is_dictated(function) && !is_lambda(function)) continue;
      parameter_uses uses(parameter);
      uses.TraverseStmt(function.getBody());
      if (uses.places.empty()) continue;
      auto told =
          diag(parameter->getLocation(),
               "the coroutine keeps a reference to a context of its caller, which may be gone when it goes "
               "on: take %0 by value")
          << parameter;
      for (const FixItHint& fix : written(function, index, false, ast)) told << fix;
    }
    const auto* method = dyn_cast<CXXMethodDecl>(&function);
    const bool may_keep = coroutine || is_dictated(function) || isa<CXXConstructorDecl>(function) ||
                          is_awaitable(function.getReturnType()) ||
                          (function.getIdentifier() != nullptr && function.getName().starts_with("async_")) ||
                          (method != nullptr && method->isVirtual());
    if (!may_keep && !type->isReferenceType() && !parameter->getName().empty()) {
      parameter_uses uses(parameter);
      uses.TraverseStmt(function.getBody());
      if (uses.is_left_alone() && !is_a_value(function, ast)) {
        auto told = diag(parameter->getLocation(),
                         "%0 is copied for each call, and not kept: take it as 'const context&'")
                    << parameter;
        for (const FixItHint& fix : written(function, index, true, ast)) told << fix;
      }
    }
  }

  if (contexts.size() != 1 || is_dictated(function)) return;
  const ParmVarDecl* parameter = function.getParamDecl(contexts.front());
  if (is_in_macro(parameter->getLocation(), ast)) return;
  if (says_only_context(parameter->getName())) {
    parameter_uses uses(parameter);
    uses.TraverseDecl(const_cast<FunctionDecl*>(&function));
    if (!uses.has_other_ctx && !is_of_class_with_ctx(function)) {
      auto told = diag(parameter->getLocation(), "a context is named 'ctx' everywhere: %0 says no more")
                  << parameter;
      uses.places.push_back(parameter->getLocation());
      const bool in_macro = llvm::any_of(uses.places, [](SourceLocation each) { return each.isMacroID(); });
      if (!in_macro) {
        for (const SourceLocation each : uses.places)
          told << FixItHint::CreateReplacement(SourceRange(each), "ctx");
      }
    }
  }
  if (isa<CXXConstructorDecl>(function) || parameter->hasDefaultArg()) return;
  const auto before = function.parameters().take_front(contexts.front());
  const auto* datum = llvm::find_if(before, [](const ParmVarDecl* each) {
    // What it writes to is what it works on, and may stand first.
    const QualType type = each->getType();
    const bool is_target = type->isLValueReferenceType() && !type->getPointeeType().isConstQualified();
    return !is_target && is_datum(type);
  });
  if (datum == before.end() || is_a_value(function, ast)) return;
  auto told = diag(parameter->getLocation(), "%0 stands behind %1: a context is the first of the parameters")
              << parameter << *datum;
}

}  // namespace curfew::lint
