#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool is_view(QualType type) {
  return is_class(type, "std", "basic_string_view") || is_class(type, "std", "span");
}

/// What a coroutine does not own after the call: the expression that is gone with it.
struct dangling {
  const Expr* what = nullptr;
  const ParmVarDecl* parameter = nullptr;
  const VarDecl* local = nullptr;  // a variable of the function that calls; null: a temporary
};

/// The temporary in a conversion to a reference or a view; null where there is none.
const Expr* temporary_in(const Expr* argument) {
  while (argument != nullptr) {
    if (const auto* kept = dyn_cast<MaterializeTemporaryExpr>(argument)) {
      // A view of a view, or of a literal, is no temporary that matters.
      const Expr* value = kept->getSubExpr();
      if (!is_view(kept->getType()) || temporary_in(value) != nullptr) return kept;
      return nullptr;
    }
    if (const auto* cast = dyn_cast<CastExpr>(argument)) {
      argument = cast->getSubExpr();
    } else if (const auto* cleanup = dyn_cast<ExprWithCleanups>(argument)) {
      argument = cleanup->getSubExpr();
    } else if (const auto* bind = dyn_cast<CXXBindTemporaryExpr>(argument)) {
      argument = bind->getSubExpr();
    } else if (const auto* converted = dyn_cast<CXXMemberCallExpr>(argument);
               converted != nullptr && isa_and_nonnull<CXXConversionDecl>(converted->getMethodDecl())) {
      argument = converted->getImplicitObjectArgument();
    } else if (const auto* made = dyn_cast<CXXConstructExpr>(argument);
               made != nullptr && is_view(made->getType()) && made->getNumArgs() >= 1) {
      argument = made->getArg(0);
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

/// A variable that `function` itself has, and that goes with it.
const VarDecl* local_in(const Expr* argument, const FunctionDecl& function) {
  const auto* named = dyn_cast_or_null<DeclRefExpr>(spelled(argument));
  const auto* variable = named == nullptr ? nullptr : dyn_cast<VarDecl>(named->getDecl());
  if (variable == nullptr || !variable->hasLocalStorage() || variable->getType()->isReferenceType())
    return nullptr;
  // A lambda may name those of the function around it.
  const auto* owner = dyn_cast_or_null<FunctionDecl>(variable->getParentFunctionOrMethod());
  return owner != nullptr && owner->getCanonicalDecl() == function.getCanonicalDecl() ? variable : nullptr;
}

/// A call that makes a coroutine, whose body is one where it is known.
const FunctionDecl* coroutine_of(const CallExpr* call) {
  if (call == nullptr || call->isTypeDependent() || !is_awaitable(call->getType())) return nullptr;
  const FunctionDecl* callee = call->getDirectCallee();
  if (callee == nullptr) return nullptr;
  const FunctionDecl* body = nullptr;
  if (callee->hasBody(body)) return is_coroutine(*body) ? body : nullptr;
  // Of Asio's and curfew's own functions, the arguments of an operation are its own.
  return is_in_curfew(callee) || callee->isTemplateInstantiation() ? nullptr : callee;
}

class find_calls : public own_code {
 public:
  explicit find_calls(const FunctionDecl& function)
      : function_(function),
        in_coroutine_(is_coroutine(function)) {}

  // What lives to the end of the expression lives until the coroutine has ended.
  bool TraverseCoawaitExpr(CoawaitExpr* /*awaited*/) override { return true; }
  bool TraverseDependentCoawaitExpr(DependentCoawaitExpr* /*awaited*/) override { return true; }

  bool VisitReturnStmt(ReturnStmt* returned) override {
    if (returned->getRetValue() != nullptr) look(spelled(returned->getRetValue()), how::returned);
    return true;
  }
  bool VisitVarDecl(VarDecl* variable) override {
    if (variable->hasInit()) look(spelled(variable->getInit()), how::kept);
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee == nullptr || callee->getIdentifier() == nullptr) return true;
    const bool spawns = callee->getName() == "co_spawn" || is_of_curfew(callee, "spawn");
    if (!spawns) return true;
    for (const Expr* argument : call->arguments()) {
      if (is_class(argument->getType(), "asio", "use_future_t"))
        return true;  // which is waited for, most often
    }
    for (const Expr* argument : call->arguments()) look(spelled(argument), how::spawned);
    return true;
  }

  enum class how { returned, kept, spawned };
  struct finding {
    const CallExpr* call;
    dangling of;
    how started;
    bool is_lambda;
  };
  llvm::SmallVector<finding, 4> found;

 private:
  void look(const Expr* expression, how started) {
    const auto* call = dyn_cast_or_null<CallExpr>(expression);
    const FunctionDecl* callee = coroutine_of(call);
    if (callee == nullptr) return;
    const auto* by = dyn_cast<CXXOperatorCallExpr>(call);
    if (by != nullptr && by->getNumArgs() > 0) {
      const Expr* object = spelled(by->getArg(0));
      const auto* lambda = dyn_cast<LambdaExpr>(object);
      if (lambda != nullptr && lambda->capture_size() > 0) {
        found.push_back({call, {lambda, nullptr, nullptr}, started, true});
        return;
      }
      const VarDecl* local = local_in(object, function_);
      const CXXRecordDecl* closure = local == nullptr ? nullptr : local->getType()->getAsCXXRecordDecl();
      if (closure != nullptr && closure->isLambda() && started == how::returned && !in_coroutine_ &&
          closure->capture_size() > 0) {
        found.push_back({call, {object, nullptr, local}, started, true});
        return;
      }
    }
    const unsigned shift = by != nullptr && isa<CXXMethodDecl>(callee) ? 1 : 0;
    for (unsigned i = 0; i < callee->getNumParams() && i + shift < call->getNumArgs(); ++i) {
      const ParmVarDecl* parameter = callee->getParamDecl(i);
      const QualType type = parameter->getType();
      if (!type->isReferenceType() && !is_view(type)) continue;
      const Expr* argument = call->getArg(i + shift);
      if (isa<CXXDefaultArgExpr>(argument)) continue;
      if (const Expr* gone = temporary_in(argument)) {
        found.push_back({call, {gone, parameter, nullptr}, started, false});
      } else if (const VarDecl* local = local_in(argument, function_);
                 local != nullptr && started == how::returned && !in_coroutine_ &&
                 !is_view(local->getType()) && !local->getType()->isPointerType()) {
        found.push_back({call, {argument, parameter, local}, started, false});
      }
    }
  }

  const FunctionDecl& function_;
  bool in_coroutine_;
};

/// Whether a parameter is read after the first suspension.
class find_late_use : public own_code {
 public:
  explicit find_late_use(const ParmVarDecl* of) : of_(of) {}

  bool TraverseCoawaitExpr(CoawaitExpr* awaited) override {
    if (!TraverseStmt(awaited->getOperand())) return false;
    suspended_ = true;
    return true;
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    if (suspended_ && named->getDecl() == of_) found = named;
    return found == nullptr;
  }
  const DeclRefExpr* found = nullptr;

 private:
  const ParmVarDecl* of_;
  bool suspended_ = false;
};

}  // namespace

void coroutine_reference::look_at(const FunctionDecl& function, ASTContext& ast) {
  if (is_coroutine(function)) {
    for (const ParmVarDecl* parameter : function.parameters()) {
      const QualType type = parameter->getType();
      if (is_context(type) || parameter->getName().empty() || type->isDependentType()) continue;
      if (!type->isRValueReferenceType()) continue;
      find_late_use late(parameter);
      late.TraverseStmt(function.getBody());
      if (late.found == nullptr || is_in_macro(parameter->getLocation(), ast)) continue;
      diag(parameter->getLocation(),
           "the coroutine keeps a reference, %0, and uses it after its first suspension, when what it was "
           "called with may "
           "be gone: take a value")
          << parameter;
      diag(late.found->getLocation(), "used here", DiagnosticIDs::Note);
    }
  }
  find_calls calls(function);
  calls.TraverseStmt(function.getBody());
  for (const find_calls::finding& each : calls.found) {
    const SourceLocation at = each.of.what->getBeginLoc();
    if (is_in_macro(at, ast)) continue;
    const auto started = static_cast<int>(each.started);
    if (each.is_lambda) {
      diag(at,
           "the captures of this lambda are gone before the coroutine that is "
           "%select{returned|kept|spawned}0 here has run: hand them over as parameters%select{|, or spawn "
           "the lambda, not "
           "its call}1")
          << started << (each.started == find_calls::how::spawned ? 1 : 0);
    } else if (each.of.local != nullptr) {
      diag(at, "%0 is gone before the coroutine that is returned here, which keeps a reference, has run")
          << each.of.local;
    } else {
      diag(at,
           "this temporary is gone before the coroutine that is %select{returned|kept|spawned}0 here, which "
           "keeps a "
           "reference, has run: await it at once, or let it take a value")
          << started;
    }
    if (each.of.parameter != nullptr)
      diag(each.of.parameter->getLocation(), "the parameter", DiagnosticIDs::Note);
  }
}

}  // namespace curfew::lint
