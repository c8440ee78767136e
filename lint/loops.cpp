#include "loops.hpp"

#include <llvm/Support/SaveAndRestore.h>

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool is_always_true(const Expr* condition, const ASTContext& ast) {
  if (condition == nullptr) return true;
  bool value = false;
  return !condition->isValueDependent() && condition->EvaluateAsBooleanCondition(value, ast) && value;
}

class find_loops : public own_code {
 public:
  explicit find_loops(const ASTContext& ast) : ast_(ast) {}

  bool VisitWhileStmt(WhileStmt* loop) override {
    if (loop->getConditionVariable() == nullptr && is_always_true(loop->getCond(), ast_))
      found.push_back({loop, loop->getBody()});
    return true;
  }
  bool VisitDoStmt(DoStmt* loop) override {
    if (is_always_true(loop->getCond(), ast_)) found.push_back({loop, loop->getBody()});
    return true;
  }
  bool VisitForStmt(ForStmt* loop) override {
    if (loop->getConditionVariable() == nullptr && is_always_true(loop->getCond(), ast_))
      found.push_back({loop, loop->getBody()});
    return true;
  }

  llvm::SmallVector<endless_loop_of, 2> found;

 private:
  const ASTContext& ast_;
};

class find_ways_out : public own_code {
 public:
  bool TraverseWhileStmt(WhileStmt* loop) override {
    const llvm::SaveAndRestore within(depth_, depth_ + 1);
    return own_code::TraverseWhileStmt(loop);
  }
  bool TraverseDoStmt(DoStmt* loop) override {
    const llvm::SaveAndRestore within(depth_, depth_ + 1);
    return own_code::TraverseDoStmt(loop);
  }
  bool TraverseForStmt(ForStmt* loop) override {
    const llvm::SaveAndRestore within(depth_, depth_ + 1);
    return own_code::TraverseForStmt(loop);
  }
  bool TraverseCXXForRangeStmt(CXXForRangeStmt* loop) override {
    const llvm::SaveAndRestore within(depth_, depth_ + 1);
    return own_code::TraverseCXXForRangeStmt(loop);
  }
  bool TraverseSwitchStmt(SwitchStmt* choice) override {
    const llvm::SaveAndRestore within(depth_, depth_ + 1);
    return own_code::TraverseSwitchStmt(choice);
  }

  bool VisitBreakStmt(BreakStmt* /*leaves*/) override { return !(found |= depth_ == 0); }
  bool VisitReturnStmt(ReturnStmt* /*leaves*/) override { return leave(); }
  bool VisitCoreturnStmt(CoreturnStmt* /*leaves*/) override { return leave(); }
  bool VisitCXXThrowExpr(CXXThrowExpr* /*leaves*/) override { return leave(); }
  bool VisitGotoStmt(GotoStmt* /*leaves*/) override { return leave(); }
  bool VisitIndirectGotoStmt(IndirectGotoStmt* /*leaves*/) override { return leave(); }
  bool VisitAsmStmt(AsmStmt* /*leaves*/) override { return leave(); }
  bool VisitCoyieldExpr(CoyieldExpr* /*pauses*/) override { return leave(); }
  bool VisitCallExpr(CallExpr* call) override {
    const FunctionDecl* callee = call->getDirectCallee();
    return callee == nullptr || !callee->isNoReturn() || leave();
  }

  bool found = false;

 private:
  bool leave() {
    found = true;
    return false;
  }

  int depth_ = 0;  // of loops and switches within, whose breaks are their own
};

}  // namespace

llvm::SmallVector<endless_loop_of, 2> endless_loops_of(const FunctionDecl& function, const ASTContext& ast) {
  find_loops loops(ast);
  loops.TraverseStmt(function.getBody());
  return std::move(loops.found);
}

bool has_way_out(const endless_loop_of& loop) {
  find_ways_out ways;
  ways.TraverseStmt(const_cast<Stmt*>(loop.body));
  return ways.found;
}

const FunctionDecl& outermost(const FunctionDecl& function) {
  const FunctionDecl* found = &function;
  for (const DeclContext* at = function.getDeclContext(); at != nullptr; at = at->getParent()) {
    if (const auto* around = dyn_cast<FunctionDecl>(at)) found = around;
  }
  return *found;
}

}  // namespace curfew::lint
