#include <clang/ASTMatchers/ASTMatchFinder.h>
#include <clang/ASTMatchers/ASTMatchers.h>

#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

void function_check::registerMatchers(clang::ast_matchers::MatchFinder* finder) {
  using namespace clang::ast_matchers;  // NOLINT(google-build-using-namespace): the matchers are a language
  finder->addMatcher(functionDecl(isDefinition(), unless(isImplicit()), unless(isExpansionInSystemHeader()))
                         .bind("function"),
                     this);
}

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

}  // namespace

void function_check::check(const clang::ast_matchers::MatchFinder::MatchResult& found) {
  const auto* function = found.Nodes.getNodeAs<clang::FunctionDecl>("function");
  if (function == nullptr || !function->doesThisDeclarationHaveABody() || function->isInvalidDecl()) return;
  if (is_instance(*function) || is_in_macro(function->getLocation(), *found.Context)) return;
  look_at(*function, *found.Context);
}

}  // namespace curfew::lint
