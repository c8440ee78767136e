#include <clang/ASTMatchers/ASTMatchFinder.h>
#include <clang/ASTMatchers/ASTMatchers.h>

#include <vector>

#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

namespace {

/// An instance of a template, or of a member of one, whose pattern is looked at instead.
bool is_instance(const clang::FunctionDecl& function) {
  if (function.isTemplateInstantiation()) return true;
  for (const clang::DeclContext* at = function.getDeclContext(); at != nullptr; at = at->getParent()) {
    if (const auto* record = clang::dyn_cast<clang::ClassTemplateSpecializationDecl>(at);
        record != nullptr && !record->isExplicitSpecialization()) {
      return true;
    }
    if (const auto* record = clang::dyn_cast<clang::CXXRecordDecl>(at);
        record != nullptr && record->getTemplateSpecializationKind() == clang::TSK_ImplicitInstantiation) {
      return true;
    }
    if (const auto* around = clang::dyn_cast<clang::FunctionDecl>(at);
        around != nullptr && around->isTemplateInstantiation()) {
      return true;
    }
  }
  return false;
}

/// What the checks look at in one translation unit. All of them share it: the tree is large, most of it other people's.
struct own_declarations {
  const clang::ASTContext* of = nullptr;
  std::vector<const clang::FunctionDecl*> functions;
  std::vector<const clang::CXXRecordDecl*> classes;
};

class find_own : public tree_walk {
 public:
  find_own(clang::ASTContext& ast, own_declarations& into) : ast_(ast), into_(into) {
    for (clang::Decl* each : ast.getTranslationUnitDecl()->decls()) {
      if (!is_of_the_system(*each)) TraverseDecl(each);
    }
  }

  bool VisitFunctionDecl(clang::FunctionDecl* function) override {
    note(*function);
    return true;
  }
  bool VisitLambdaExpr(clang::LambdaExpr* lambda) override {
    note(*lambda->getCallOperator());
    return true;
  }
  bool VisitCXXRecordDecl(clang::CXXRecordDecl* record) override {
    if (record->isThisDeclarationADefinition() && !record->isImplicit() && !is_of_the_system(*record))
      into_.classes.push_back(record);
    return true;
  }

 private:
  void note(const clang::FunctionDecl& function) {
    if (!function.doesThisDeclarationHaveABody() || function.isImplicit() || function.isInvalidDecl()) return;
    if (is_of_the_system(function) || is_instance(function) || is_in_macro(function.getLocation(), ast_))
      return;
    into_.functions.push_back(&function);
  }
  [[nodiscard]] bool is_of_the_system(const clang::Decl& one) const {
    const clang::SourceManager& sources = ast_.getSourceManager();
    const clang::SourceLocation at = sources.getExpansionLoc(one.getBeginLoc());
    return at.isValid() && sources.isInSystemHeader(at);
  }

  clang::ASTContext& ast_;
  own_declarations& into_;
};

own_declarations& shared() {
  static thread_local own_declarations one;
  return one;
}

}  // namespace

void function_check::registerMatchers(clang::ast_matchers::MatchFinder* finder) {
  finder->addMatcher(clang::ast_matchers::translationUnitDecl(), this);
}

void function_check::onStartOfTranslationUnit() { shared() = {}; }

void function_check::check(const clang::ast_matchers::MatchFinder::MatchResult& found) {
  own_declarations& own = shared();
  if (own.of == nullptr) {
    own.of = found.Context;
    find_own(*found.Context, own);
  }
  for (const clang::FunctionDecl* each : own.functions) look_at(*each, *found.Context);
  for (const clang::CXXRecordDecl* each : own.classes) look_at_class(*each, *found.Context);
}

}  // namespace curfew::lint
