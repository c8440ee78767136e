#include "checks.hpp"
#include "code.hpp"
#include "loops.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

const Expr* bare(const Expr* expression) { return expression->IgnoreParenImpCasts(); }

bool is_own_member(const Expr* expression) {
  const auto* member = dyn_cast<MemberExpr>(bare(expression));
  return member != nullptr && isa<CXXThisExpr>(bare(member->getBase()));
}

/// Whether the object itself was given something made from a context: `begin(ctx);`, `ctx_ = ctx;`.
class find_gifts : public tree_walk {
 public:
  explicit find_gifts(const obedient& under) : under_(under) {}

  bool VisitCXXMemberCallExpr(CXXMemberCallExpr* call) override {
    const Expr* object = bare(call->getImplicitObjectArgument());
    if (!isa<CXXThisExpr>(object) && !is_own_member(object)) return true;
    for (const Expr* argument : call->arguments()) found |= under_.in(argument);
    return !found;
  }
  bool VisitBinaryOperator(BinaryOperator* assigned) override {
    if (assigned->isAssignmentOp() && is_own_member(assigned->getLHS()))
      found |= under_.in(assigned->getRHS());
    return !found;
  }
  bool VisitCXXOperatorCallExpr(CXXOperatorCallExpr* assigned) override {
    if (assigned->isAssignmentOp() && assigned->getNumArgs() == 2 && is_own_member(assigned->getArg(0)))
      found |= under_.in(assigned->getArg(1));
    return !found;
  }

  bool found = false;

 private:
  const obedient& under_;
};

bool is_counter(const Expr* expression) {
  return expression->getType()->isIntegralOrEnumerationType() || expression->getType()->isPointerType();
}

/// What a loop does, as far as it says how long it goes on.
class find_habits : public own_code {
 public:
  bool VisitCXXThisExpr(CXXThisExpr* /*used*/) override { return uses_this = true; }
  bool VisitCallExpr(CallExpr* call) override {
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee == nullptr || callee->getIdentifier() == nullptr) return true;
    const llvm::StringRef name = callee->getName();
    pauses |= name == "sleep_for" || name == "sleep_until" || name == "usleep" || name == "nanosleep" ||
              (name == "sleep" && callee->getNumParams() == 1);
    looks_at_time |= name == "now" || name == "clock_gettime" || name == "steady_clock_now";
    if (const auto* member = dyn_cast<CXXMemberCallExpr>(call)) {
      pauses |= (name == "async_wait" || name == "wait") &&
                is_class(member->getImplicitObjectArgument()->getType(), "asio", "basic_waitable_timer");
    }
    return true;
  }
  bool VisitUnaryOperator(UnaryOperator* stepped) override {
    if (stepped->isIncrementDecrementOp() && is_counter(stepped->getSubExpr())) counts = true;
    return true;
  }
  bool VisitCompoundAssignOperator(CompoundAssignOperator* stepped) override {
    if (is_counter(stepped->getLHS()) || stepped->getLHS()->getType()->isDependentType()) counts = true;
    return true;
  }

  bool uses_this = false;
  bool pauses = false;
  bool looks_at_time = false;
  bool counts = false;
};

}  // namespace

void endless_loop::look_at(const FunctionDecl& function, ASTContext& ast) {
  const auto near = context_in_reach(function, captures::used);
  if (!near) return;
  const auto loops = endless_loops_of(function, ast);
  if (loops.empty()) return;
  const obedient under(outermost(function));
  if (under.interrupts()) return;
  for (const endless_loop_of& loop : loops) {
    const SourceLocation at = loop.whole->getBeginLoc();
    if (is_in_macro(at, ast) || under.in(loop.whole)) continue;
    find_habits habits;
    habits.TraverseStmt(const_cast<Stmt*>(loop.whole));
    const bool leaves = has_way_out(loop);
    if (leaves && (!habits.pauses || habits.counts || habits.looks_at_time)) continue;
    if (habits.uses_this) {
      find_gifts gifts(under);
      gifts.TraverseStmt(outermost(function).getBody());
      if (gifts.found) continue;
    }
    diag(at, "this loop %select{has no end|tries again for as long as it takes}0, and does not look at '%1'")
        << (leaves ? 1 : 0) << near->expression;
  }
}

}  // namespace curfew::lint
