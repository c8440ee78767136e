#include "walk.hpp"

#include <clang/AST/RecursiveASTVisitor.h>

namespace curfew::lint {

namespace {

/// Tells a walk what it comes to, and goes on as the walk says.
class engine : public clang::RecursiveASTVisitor<engine> {
 public:
  explicit engine(tree_walk& to) : to_(to) {}

  bool TraverseDecl(clang::Decl* declaration) { return to_.TraverseDecl(declaration); }
  bool TraverseLambdaCapture(clang::LambdaExpr* lambda, const clang::LambdaCapture* capture,
                             clang::Expr* value) {
    return to_.TraverseLambdaCapture(lambda, capture, value);
  }
#define CURFEW_LINT_HOOK(node) \
  bool Traverse##node(clang::node* part) { return to_.Traverse##node(part); }
  CURFEW_LINT_TRAVERSED(CURFEW_LINT_HOOK)
#undef CURFEW_LINT_HOOK
#define CURFEW_LINT_HOOK(node) \
  bool Visit##node(clang::node* part) { return to_.Visit##node(part); }
  CURFEW_LINT_VISITED(CURFEW_LINT_HOOK)
#undef CURFEW_LINT_HOOK

 private:
  tree_walk& to_;
};
using plain = clang::RecursiveASTVisitor<engine>;

}  // namespace

bool tree_walk::TraverseStmt(clang::Stmt* part) { return engine(*this).TraverseStmt(part); }

bool tree_walk::TraverseDecl(clang::Decl* declaration) {
  return engine(*this).plain::TraverseDecl(declaration);
}

bool tree_walk::TraverseLambdaCapture(clang::LambdaExpr* lambda, const clang::LambdaCapture* capture,
                                      clang::Expr* value) {
  return engine(*this).plain::TraverseLambdaCapture(lambda, capture, value);
}

#define CURFEW_LINT_HOOK(node) \
  bool tree_walk::Traverse##node(clang::node* part) { return engine(*this).plain::Traverse##node(part); }
CURFEW_LINT_TRAVERSED(CURFEW_LINT_HOOK)
#undef CURFEW_LINT_HOOK

bool own_code::TraverseLambdaExpr(clang::LambdaExpr* lambda) {
  // What it captures is evaluated here.
  for (unsigned i = 0; i < lambda->capture_size(); ++i) {
    const clang::LambdaCapture* capture = lambda->capture_begin() + i;
    if (capture->isExplicit() && lambda->isInitCapture(capture))
      TraverseStmt(lambda->capture_init_begin()[i]);
  }
  return true;
}

bool own_code::TraverseDecl(clang::Decl* declaration) {
  // A class in a function has functions of its own.
  if (declaration != nullptr && clang::isa<clang::CXXRecordDecl>(declaration)) return true;
  return tree_walk::TraverseDecl(declaration);
}

bool own_code::TraverseCoroutineBodyStmt(clang::CoroutineBodyStmt* body) {
  return TraverseStmt(body->getBody());
}

}  // namespace curfew::lint
