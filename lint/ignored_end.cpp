#include "checks.hpp"
#include "code.hpp"
#include "loops.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool is_error_code(QualType type) {
  return is_class(type, "std", "error_code") || is_class(type, "boost", "error_code");
}

/// What a call gives, or what awaiting it gives, is a result of curfew.
QualType result_of(const Expr* call) {
  QualType type = call->getType();
  if (type.isNull() || type->isDependentType()) return {};
  if (is_result(type)) return type;
  const CXXRecordDecl* record = type->getAsCXXRecordDecl();
  const auto* of = dyn_cast_or_null<ClassTemplateSpecializationDecl>(record);
  if (of == nullptr || of->getName() != "awaitable" || of->getTemplateArgs().size() == 0) return {};
  const TemplateArgument& value = of->getTemplateArgs()[0];
  if (value.getKind() != TemplateArgument::Type || !is_result(value.getAsType())) return {};
  return value.getAsType();
}

/// The call in `co_await call`, or the call itself.
const CallExpr* awaited_call(const Expr* expression) {
  expression = spelled(expression);
  if (const auto* awaited = dyn_cast_or_null<CoroutineSuspendExpr>(expression))
    expression = spelled(awaited->getOperand());
  return dyn_cast_or_null<CallExpr>(expression);
}

/// A context or a scope among the arguments, as it is written.
const Expr* context_given_to(const CallExpr* call) {
  for (const Expr* argument : call->arguments()) {
    const Expr* bare = spelled(argument);
    if (bare != nullptr && (is_context(bare->getType()) || is_scope(bare->getType())) && place_of(bare))
      return bare;
  }
  return nullptr;
}

bool is_waived(const VarDecl* variable) {
  const llvm::StringRef name = variable->getName();
  return variable->hasAttr<UnusedAttr>() || name.empty() || name.starts_with("_") ||
         name.starts_with("ignore") || name.starts_with("unused");
}

// ---- a result or an error that nothing looks at

struct unseen {
  const VarDecl* variable;
  const CallExpr* call;  // the wait
  const Expr* context;
  bool has_value;  // a lock, a lease, a number: what the work needs
};

/// Variables that hold how a wait went, and the places where they are named.
class find_outcomes : public tree_walk {
 public:
  explicit find_outcomes(const FunctionDecl& function) : function_(function) {}

  bool TraverseCompoundStmt(CompoundStmt* block) override {
    const Stmt* around = last_;
    last_ = block->body_empty() ? nullptr : block->body_back();
    const bool goes_on = tree_walk::TraverseCompoundStmt(block);
    last_ = around;
    return goes_on;
  }
  bool VisitDeclStmt(DeclStmt* line) override {
    if (line == last_ || !line->isSingleDecl()) return true;  // nothing goes on after it
    auto* variable = dyn_cast<VarDecl>(line->getSingleDecl());
    if (variable == nullptr || !variable->isLocalVarDecl() || variable->isStaticLocal() ||
        is_waived(variable) || isa<DecompositionDecl>(variable) || !is_own(variable)) {
      return true;
    }
    if (is_error_code(variable->getType()) && !variable->getType()->isReferenceType()) {
      codes_.insert(variable);
      return true;
    }
    if (!variable->hasInit() || !is_result(variable->getType())) return true;
    const CallExpr* call = awaited_call(variable->getInit());
    if (call == nullptr || call->getDirectCallee() == nullptr || !is_result(result_of(call))) return true;
    const Expr* context = context_given_to(call);
    if (context != nullptr) waits.push_back({variable, call, context, !holds_nothing(variable->getType())});
    return true;
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (const auto* variable = dyn_cast<VarDecl>(named->getDecl())) ++uses[variable];
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    const Expr* context = context_given_to(call);
    if (context == nullptr) return true;
    for (const Expr* argument : call->arguments()) {
      const auto* named = dyn_cast_or_null<DeclRefExpr>(spelled(argument));
      const auto* variable = named == nullptr ? nullptr : dyn_cast<VarDecl>(named->getDecl());
      if (variable != nullptr && codes_.contains(variable)) waits.push_back({variable, call, context, false});
    }
    return true;
  }

  llvm::SmallVector<unseen, 4> waits;
  llvm::DenseMap<const VarDecl*, int> uses;

 private:
  static bool holds_nothing(QualType result) {
    const auto* of =
        dyn_cast_or_null<ClassTemplateSpecializationDecl>(result.getNonReferenceType()->getAsCXXRecordDecl());
    return of == nullptr || of->getTemplateArgs().size() == 0 ||
           of->getTemplateArgs()[0].getKind() != TemplateArgument::Type ||
           of->getTemplateArgs()[0].getAsType()->isVoidType();
  }
  /// Those of lambdas are looked at with the lambda.
  bool is_own(const VarDecl* variable) const {
    const auto* owner = dyn_cast_or_null<FunctionDecl>(variable->getParentFunctionOrMethod());
    return owner != nullptr && owner->getCanonicalDecl() == function_.getCanonicalDecl();
  }

  const FunctionDecl& function_;
  const Stmt* last_ = nullptr;
  llvm::DenseSet<const VarDecl*> codes_;
};

/// What is done with contexts after a wait.
class find_after : public tree_walk {
 public:
  find_after(SourceLocation from, const ASTContext& ast) : from_(from), ast_(ast) {}

  bool VisitCXXMemberCallExpr(CXXMemberCallExpr* call) override {
    const Expr* object = spelled(call->getImplicitObjectArgument());
    if (object != nullptr && is_obeyed(object) && is_after(call->getExprLoc())) asked = true;
    return true;
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (is_obeyed(named) && is_after(named->getLocation())) mentioned = true;
    return true;
  }
  bool VisitMemberExpr(MemberExpr* named) override {
    if (is_obeyed(named) && is_after(named->getMemberLoc())) mentioned = true;
    return true;
  }

  bool asked = false;      // `ctx.err()`
  bool mentioned = false;  // or handed on

 private:
  static bool is_obeyed(const Expr* expression) {
    return is_context(expression->getType()) || is_scope(expression->getType());
  }
  bool is_after(SourceLocation at) const {
    return ast_.getSourceManager().isBeforeInTranslationUnit(from_, at);
  }

  SourceLocation from_;
  const ASTContext& ast_;
};

// ---- a loop that cannot leave

bool catches_ends(const CXXTryStmt* attempt) {
  for (unsigned i = 0; i < attempt->getNumHandlers(); ++i) {
    const CXXCatchStmt* handler = attempt->getHandler(i);
    if (handler->getExceptionDecl() == nullptr) return true;
    const QualType type = handler->getCaughtType();
    for (const char* name : {"exception", "runtime_error", "system_error"}) {
      if (is_class(type, "std", name) || is_class(type, "boost", name)) return true;
    }
  }
  return false;
}

/// Whether a loop does nothing with contexts but give them to calls whose error it then drops.
class find_dropped : public tree_walk {
 public:
  find_dropped(const endless_loop_of& loop, const ASTContext& ast) : loop_(loop), ast_(ast) {}

  bool TraverseCXXTryStmt(CXXTryStmt* attempt) override {
    const int more = catches_ends(attempt) ? 1 : 0;
    caught_ += more;
    const bool goes_on = TraverseStmt(attempt->getTryBlock());
    caught_ -= more;
    if (!goes_on) return false;
    for (unsigned i = 0; i < attempt->getNumHandlers(); ++i) {
      if (!TraverseStmt(attempt->getHandler(i))) return false;
    }
    return true;
  }
  bool TraverseCallExpr(CallExpr* call) override {
    if (const Expr* parent = derived_from(call); parent != nullptr && is_around(parent)) {
      for (unsigned i = 1; i < call->getNumArgs(); ++i) {
        if (!TraverseStmt(call->getArg(i))) return false;
      }
      return true;
    }
    return take(call) ? !other : tree_walk::TraverseCallExpr(call);
  }
  bool TraverseCXXMemberCallExpr(CXXMemberCallExpr* call) override {
    const CXXMethodDecl* method = call->getMethodDecl();
    const bool is_value =
        method != nullptr && method->getIdentifier() != nullptr && method->getName() == "value";
    // The function is of a base, to which the object is converted.
    const QualType of = call->getImplicitObjectArgument()->IgnoreParenImpCasts()->getType();
    if (caught_ == 0 && is_value && is_result(of)) return stop();  // which throws
    return take(call) ? !other && TraverseStmt(call->getCallee())
                      : tree_walk::TraverseCXXMemberCallExpr(call);
  }
  bool VisitCallExpr(CallExpr* call) override {
    if (isa<CXXOperatorCallExpr>(call) || caught_ > 0) return true;
    for (const Expr* argument : call->arguments()) {
      const QualType type = argument->getType();
      // It is not known: it may throw.
      if (type->isDependentType() || is_result(type) || is_class(type, "curfew", "error") ||
          is_error_code(type))
        return stop();
    }
    return true;
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override { return !obeys(named) || stop(); }
  bool VisitMemberExpr(MemberExpr* named) override { return !obeys(named) || stop(); }

  bool other = false;
  const CallExpr* wait = nullptr;
  const Expr* context = nullptr;

 private:
  static bool obeys(const Expr* expression) {
    const QualType type = expression->getType();
    return is_context(type) || is_scope(type) || is_request(type) || is_class(type, "std", "stop_token");
  }
  bool stop() {
    other = true;
    return false;
  }
  /// A call whose only trace of the end is the error that it gives: its other arguments are looked at here.
  bool take(CallExpr* call) {
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee == nullptr || isa<CXXOperatorCallExpr>(call)) return false;
    const bool drops = caught_ > 0 || !result_of(call).isNull();
    if (!drops) return false;
    const Expr* given = nullptr;
    llvm::SmallVector<const Expr*, 4> others;
    for (const Expr* argument : call->arguments()) {
      const Expr* bare = spelled(argument);
      if (bare != nullptr && obeys(bare) && is_around(bare)) {
        given = bare;
      } else {
        others.push_back(argument);
      }
    }
    if (given == nullptr) return false;
    for (const Expr* argument : others) {
      if (!TraverseStmt(const_cast<Expr*>(argument))) return true;  // other is set
    }
    if (wait == nullptr) {
      wait = call;
      context = given;
    }
    return true;
  }
  /// What `with_timeout` and its like are called with.
  static const Expr* derived_from(const Expr* expression) {
    const auto* call = dyn_cast_or_null<CallExpr>(expression);
    if (call == nullptr || call->getNumArgs() == 0) return nullptr;
    for (const char* name : {"with_cancel", "with_timeout", "with_deadline"}) {
      if (is_of_curfew(call->getDirectCallee(), name)) return spelled(call->getArg(0));
    }
    return nullptr;
  }
  /// A variable that was there before the loop, or a scope of the loop that was derived from one.
  bool is_around(const Expr* expression) const {
    const auto at = expression == nullptr ? std::nullopt : place_of(expression);
    if (!at || at->root == nullptr) return false;
    if (ast_.getSourceManager().isBeforeInTranslationUnit(at->root->getLocation(),
                                                          loop_.whole->getBeginLoc()))
      return true;
    const auto* variable = dyn_cast<VarDecl>(at->root);
    return variable != nullptr && variable->hasInit() && is_scope(variable->getType()) &&
           is_around(derived_from(spelled(variable->getInit())));
  }

  const endless_loop_of& loop_;
  const ASTContext& ast_;
  int caught_ = 0;
};

}  // namespace

void ignored_end::look_at(const FunctionDecl& function, ASTContext& ast) {
  const auto* coroutine = dyn_cast<CoroutineBodyStmt>(function.getBody());
  Stmt* body = coroutine == nullptr ? function.getBody() : coroutine->getBody();
  find_outcomes outcomes(function);
  outcomes.TraverseStmt(body);
  for (const unseen& each : outcomes.waits) {
    // A code is named once, where it is filled.
    const bool is_code = is_error_code(each.variable->getType());
    if (outcomes.uses.lookup(each.variable) > (is_code ? 1 : 0)) continue;
    const SourceLocation at = each.variable->getLocation();
    if (at.isMacroID()) continue;
    find_after after(each.call->getEndLoc(), ast);
    after.TraverseStmt(body);
    // What it is handed on to says the same; but a lock that is not held is held no more by that.
    if (after.asked || (after.mentioned && !each.has_value)) continue;
    diag(at, "nothing looks at %0: when '%1' has ended, the work goes on as if the wait had succeeded")
        << each.variable << text_of(each.context->getSourceRange(), ast);
  }

  for (const endless_loop_of& loop : endless_loops_of(function, ast)) {
    if (is_in_macro(loop.whole->getBeginLoc(), ast) || has_way_out(loop)) continue;
    find_dropped dropped(loop, ast);
    dropped.TraverseStmt(const_cast<Stmt*>(loop.body));
    if (dropped.other || dropped.wait == nullptr || dropped.wait->getBeginLoc().isMacroID()) continue;
    if (obedient(outermost(function)).interrupts()) continue;
    diag(
        dropped.wait->getBeginLoc(),
        "when '%0' has ended, this fails at once, and the loop goes round without a pause: nothing leaves it")
        << text_of(dropped.context->getSourceRange(), ast);
  }
}

}  // namespace curfew::lint
