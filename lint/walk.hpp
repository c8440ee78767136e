#pragma once

#include <clang/AST/ExprCXX.h>
#include <clang/AST/StmtCXX.h>

// clang-format off
/// What a walk is told of: statements and expressions, and declarations.
#define CURFEW_LINT_VISITED(X)                                                                                  \
  X(AsmStmt) X(BinaryOperator) X(BreakStmt) X(CallExpr) X(CompoundAssignOperator) X(CoreturnStmt) X(CoyieldExpr) \
  X(CXXConstructExpr) X(CXXMemberCallExpr) X(CXXOperatorCallExpr) X(CXXRecordDecl) X(CXXThisExpr)               \
  X(CXXThrowExpr) X(DeclRefExpr) X(DeclStmt) X(DoStmt) X(Expr) X(ForStmt) X(FunctionDecl) X(GotoStmt)           \
  X(ImplicitCastExpr) X(IndirectGotoStmt) X(LambdaExpr) X(MemberExpr) X(NamedDecl) X(ReturnStmt)                \
  X(UnaryOperator) X(VarDecl) X(WhileStmt)
/// What a walk may go through in a way of its own.
#define CURFEW_LINT_TRAVERSED(X)                                                                                \
  X(CallExpr) X(CoawaitExpr) X(CompoundStmt) X(CoroutineBodyStmt) X(CXXCatchStmt) X(CXXForRangeStmt)            \
  X(CXXMemberCallExpr) X(CXXTryStmt) X(DependentCoawaitExpr) X(DoStmt) X(ForStmt) X(IfStmt) X(LambdaExpr)       \
  X(SwitchStmt) X(WhileStmt)
// clang-format on

namespace curfew::lint {

/// clang's RecursiveASTVisitor with virtual functions: compiled once, where a template for each walk costs g++ more than
/// four minutes and four gigabytes. A function that returns false ends the walk.
class tree_walk {
 public:
  bool TraverseStmt(clang::Stmt* part);
  virtual bool TraverseDecl(clang::Decl* declaration);
  virtual bool TraverseLambdaCapture(clang::LambdaExpr* lambda, const clang::LambdaCapture* capture,
                                     clang::Expr* value);
#define CURFEW_LINT_HOOK(node) virtual bool Traverse##node(clang::node* part);
  CURFEW_LINT_TRAVERSED(CURFEW_LINT_HOOK)
#undef CURFEW_LINT_HOOK
#define CURFEW_LINT_HOOK(node) \
  virtual bool Visit##node(clang::node* /*part*/) { return true; }
  CURFEW_LINT_VISITED(CURFEW_LINT_HOOK)
#undef CURFEW_LINT_HOOK

 protected:
  tree_walk() = default;
  tree_walk(const tree_walk&) = default;
  tree_walk& operator=(const tree_walk&) = default;
  virtual ~tree_walk() = default;
};

/// Goes through the code of one function, and not through that of lambdas in it, whose calls are functions themselves.
class own_code : public tree_walk {
 public:
  bool TraverseLambdaExpr(clang::LambdaExpr* lambda) override;
  bool TraverseDecl(clang::Decl* declaration) override;
  bool TraverseCoroutineBodyStmt(clang::CoroutineBodyStmt* body) override;
};

}  // namespace curfew::lint
