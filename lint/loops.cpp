#include "loops.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool is_always_true(const Expr* condition, const ASTContext& ast) {
  if (condition == nullptr) return true;
  bool value = false;
  return !condition->isValueDependent() && condition->EvaluateAsBooleanCondition(value, ast) && value;
}

class find_loops : public own_code<find_loops> {
 public:
  explicit find_loops(const ASTContext& ast) : ast_(ast) {}

  bool VisitWhileStmt(WhileStmt* loop) {
    if (loop->getConditionVariable() == nullptr && is_always_true(loop->getCond(), ast_))
      found.push_back({loop, loop->getBody()});
    return true;
  }
  bool VisitDoStmt(DoStmt* loop) {
    if (is_always_true(loop->getCond(), ast_)) found.push_back({loop, loop->getBody()});
    return true;
  }
  bool VisitForStmt(ForStmt* loop) {
    if (loop->getConditionVariable() == nullptr && is_always_true(loop->getCond(), ast_))
      found.push_back({loop, loop->getBody()});
    return true;
  }

  llvm::SmallVector<endless_loop_of, 2> found;

 private:
  const ASTContext& ast_;
};

class find_ways_out : public own_code<find_ways_out> {
 public:
  bool TraverseWhileStmt(WhileStmt* loop) { return within(loop, &find_ways_out::plain_while); }
  bool TraverseDoStmt(DoStmt* loop) { return within(loop, &find_ways_out::plain_do); }
  bool TraverseForStmt(ForStmt* loop) { return within(loop, &find_ways_out::plain_for); }
  bool TraverseCXXForRangeStmt(CXXForRangeStmt* loop) { return within(loop, &find_ways_out::plain_range); }
  bool TraverseSwitchStmt(SwitchStmt* choice) { return within(choice, &find_ways_out::plain_switch); }

  bool VisitBreakStmt(BreakStmt* /*leaves*/) { return !(found |= depth_ == 0); }
  bool VisitReturnStmt(ReturnStmt* /*leaves*/) { return leave(); }
  bool VisitCoreturnStmt(CoreturnStmt* /*leaves*/) { return leave(); }
  bool VisitCXXThrowExpr(CXXThrowExpr* /*leaves*/) { return leave(); }
  bool VisitGotoStmt(GotoStmt* /*leaves*/) { return leave(); }
  bool VisitIndirectGotoStmt(IndirectGotoStmt* /*leaves*/) { return leave(); }
  bool VisitAsmStmt(AsmStmt* /*leaves*/) { return leave(); }
  bool VisitCoyieldExpr(CoyieldExpr* /*pauses*/) { return leave(); }
  bool VisitCallExpr(CallExpr* call) {
    const FunctionDecl* callee = call->getDirectCallee();
    return callee == nullptr || !callee->isNoReturn() || leave();
  }

  bool found = false;

 private:
  bool plain_while(WhileStmt* loop) { return own_code::TraverseWhileStmt(loop); }
  bool plain_do(DoStmt* loop) { return own_code::TraverseDoStmt(loop); }
  bool plain_for(ForStmt* loop) { return own_code::TraverseForStmt(loop); }
  bool plain_range(CXXForRangeStmt* loop) { return own_code::TraverseCXXForRangeStmt(loop); }
  bool plain_switch(SwitchStmt* choice) { return own_code::TraverseSwitchStmt(choice); }
  template <class Part>
  bool within(Part* part, bool (find_ways_out::*plain)(Part*)) {
    ++depth_;
    const bool goes_on = (this->*plain)(part);
    --depth_;
    return goes_on;
  }
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
