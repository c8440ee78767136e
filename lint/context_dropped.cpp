#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool is_same(QualType a, QualType b) {
  const auto bare = [](QualType type) {
    return type.getNonReferenceType().getUnqualifiedType().getCanonicalType();
  };
  return bare(a) == bare(b);
}

/// Has `with` the parameters of `without`, and a context in front of them or behind them?
bool adds_context(const FunctionDecl* with, const FunctionDecl* without) {
  const unsigned count = without->getNumParams();
  if (with->getNumParams() != count + 1 || with->isVariadic() != without->isVariadic()) return false;
  if (!is_context(with->getParamDecl(0)->getType())) return false;
  for (unsigned i = 0; i < count; ++i) {
    if (!is_same(with->getParamDecl(i + 1)->getType(), without->getParamDecl(i)->getType())) return false;
  }
  return true;
}

const FunctionDecl* function_of(const NamedDecl* found) {
  const NamedDecl* bare = found->getUnderlyingDecl();
  if (const auto* pattern = dyn_cast<FunctionTemplateDecl>(bare)) return pattern->getTemplatedDecl();
  return dyn_cast<FunctionDecl>(bare);
}

const FunctionDecl* named(const FunctionDecl* callee, const std::string& name) {
  const IdentifierInfo& id = callee->getASTContext().Idents.get(name);
  for (const NamedDecl* found : callee->getDeclContext()->getRedeclContext()->lookup(&id)) {
    const FunctionDecl* other = function_of(found);
    if (other == nullptr || other->isDeleted() || !adds_context(other, callee)) continue;
    if (callee->isCXXInstanceMember() && !other->isCXXInstanceMember()) continue;
    // A member that is not const is no twin where the object may be.
    const auto* method = dyn_cast<CXXMethodDecl>(callee);
    if (method != nullptr && method->isConst() && !cast<CXXMethodDecl>(other)->isConst()) continue;
    return other;
  }
  return nullptr;
}

/// The overload, or the twin by name, of `callee` that takes a context in front of the same parameters.
const FunctionDecl* twin_of(const FunctionDecl* callee) {
  const FunctionDecl* pattern = callee->getTemplateInstantiationPattern();
  if (pattern == nullptr) pattern = callee;
  const std::string name = pattern->getNameAsString();
  if (const FunctionDecl* overload = named(pattern, name)) return overload;
  for (const char* tail :
       {"_with_context", "_with_ctx", "_context", "_ctx", "WithContext", "WithCtx", "Context", "Ctx"}) {
    if (const FunctionDecl* twin = named(pattern, name + tail)) return twin;
  }
  return nullptr;
}

/// Does it say of the code under it that the context, or a call, has ended?
class find_end : public tree_walk {
 public:
  bool VisitExpr(Expr* part) override {
    const QualType type = part->getType();
    if (!type.isNull() && (is_context(type) || is_scope(type) || is_result(type) || is_of_end(type)))
      found = true;
    return !found;
  }
  bool found = false;

 private:
  static bool is_of_end(QualType type) {
    return is_class(type, "std", "error_code") || is_class(type, "std", "stop_token") ||
           is_class(type, "curfew", "error") || is_class(type, "system", "error_code");
  }
};

bool tells_end(Stmt* condition) {
  find_end end;
  end.TraverseStmt(condition);
  return end.found;
}

class twin_calls : public own_code {
 public:
  // What is done once a context or a call has ended is done without it.
  bool TraverseIfStmt(IfStmt* choice) override {
    if (choice->getInit() != nullptr && !TraverseStmt(choice->getInit())) return false;
    if (!TraverseStmt(choice->getCond())) return false;
    if (choice->hasVarStorage() && !TraverseDecl(choice->getConditionVariable())) return false;
    const Expr* condition = spelled(choice->getCond());
    const bool is_end = tells_end(choice->getCond());
    bool in_then = is_end;
    // if (auto made = …): there, all is well.
    if (is_end && (choice->hasVarStorage() || (condition != nullptr && is_result(condition->getType()))))
      in_then = false;
    const auto look = [&](Stmt* part, bool is_behind) {
      if (part == nullptr) return true;
      const unsigned before = depth_;
      depth_ += is_behind ? 1 : 0;
      const bool goes_on = TraverseStmt(part);
      depth_ = before;
      return goes_on;
    };
    return look(choice->getThen(), in_then) && look(choice->getElse(), is_end);
  }
  bool TraverseCXXCatchStmt(CXXCatchStmt* caught) override {
    ++depth_;
    const bool goes_on = own_code::TraverseCXXCatchStmt(caught);
    --depth_;
    return goes_on;
  }
  bool VisitCallExpr(CallExpr* call) override {
    const FunctionDecl* callee = call->getDirectCallee();
    if (depth_ == 0 && callee != nullptr && callee->getIdentifier() != nullptr && !callee->isInStdNamespace())
      found.push_back(call);
    return true;
  }
  llvm::SmallVector<CallExpr*, 16> found;

 private:
  unsigned depth_ = 0;  // of code that runs behind an end
};

bool is_member_of_same(const FunctionDecl& caller, const FunctionDecl* callee) {
  return caller.getDeclContext()->getRedeclContext()->Equals(callee->getDeclContext()->getRedeclContext());
}

/// The parameter of the callee that is a context and was left to its default.
const ParmVarDecl* defaulted(const CallExpr* call) {
  const FunctionDecl* callee = call->getDirectCallee();
  if (isa<CXXOperatorCallExpr>(call)) return nullptr;
  for (unsigned i = 0; i < call->getNumArgs() && i < callee->getNumParams(); ++i) {
    if (isa<CXXDefaultArgExpr>(call->getArg(i)) && is_context(callee->getParamDecl(i)->getType()))
      return callee->getParamDecl(i);
  }
  return nullptr;
}

/// It obeys by the object that it is called on, or that it is given. What a number or a text came from does not matter.
bool obeys(const CallExpr* call, const obedient& under) {
  if (const auto* member = dyn_cast<CXXMemberCallExpr>(call)) {
    if (under.in(member->getImplicitObjectArgument())) return true;
  }
  return llvm::any_of(call->arguments(),
                      [&](const Expr* each) { return !is_datum(each->getType()) && under.in(each); });
}

/// Where the name of the function stands in the call; invalid where it is not named.
SourceRange name_range(const CallExpr* call) {
  const Expr* callee = call->getCallee()->IgnoreParenImpCasts();
  if (const auto* member = dyn_cast<MemberExpr>(callee)) {
    if (member->hasExplicitTemplateArgs()) return {};
    return {member->getMemberLoc(), member->getMemberLoc()};
  }
  if (const auto* by_name = dyn_cast<DeclRefExpr>(callee)) {
    if (by_name->hasExplicitTemplateArgs()) return {};
    return {by_name->getLocation(), by_name->getLocation()};
  }
  return {};
}

}  // namespace

void context_dropped::look_at(const FunctionDecl& function, ASTContext& ast) {
  const auto near = context_in_reach(function, captures::used);
  if (!near) return;
  twin_calls calls;
  calls.TraverseStmt(function.getBody());
  std::optional<obedient> under;
  for (CallExpr* call : calls.found) {
    const FunctionDecl* callee = call->getDirectCallee();
    const ParmVarDecl* left_out = defaulted(call);
    const FunctionDecl* twin = left_out == nullptr ? twin_of(callee) : nullptr;
    if (left_out == nullptr && twin == nullptr) continue;
    if (is_of_curfew(callee, "after")) continue;  // a case of a select, whose other cases say what ends it
    const SourceLocation at = call->getExprLoc();
    if (is_in_macro(at, ast)) continue;
    // The overload with a context that is made from the one without, and the other way around.
    if (function.getIdentifier() != nullptr && is_member_of_same(function, callee) &&
        (function.getName() == callee->getName() ||
         (twin != nullptr && function.getName() == twin->getName()))) {
      continue;
    }
    if (!under) under.emplace(function);
    if (obeys(call, *under)) continue;

    if (left_out != nullptr) {
      diag(at, "'%0' is left to its default: hand %1 on to %2")
          << left_out->getName() << near->expression << callee;
      diag(left_out->getLocation(), "the parameter", DiagnosticIDs::Note);
      continue;
    }
    auto told = diag(at, "%0 does not end with '%1': there is %2, which takes it")
                << callee << near->expression << twin;
    const SourceRange name = name_range(call);
    const SourceLocation first =
        call->getNumArgs() != 0 ? call->getArg(0)->getBeginLoc() : call->getRParenLoc();
    const bool fits = is_same(callee->getReturnType(), twin->getReturnType()) && name.isValid() &&
                      name.getBegin().isFileID() && first.isValid() && first.isFileID() &&
                      (call->getNumArgs() == 0 || !isa<CXXDefaultArgExpr>(call->getArg(0)));
    if (!fits) continue;
    if (twin->getName() != callee->getName()) told << FixItHint::CreateReplacement(name, twin->getName());
    told << FixItHint::CreateInsertion(first, near->expression + (call->getNumArgs() != 0 ? ", " : ""));
  }
}

}  // namespace curfew::lint
