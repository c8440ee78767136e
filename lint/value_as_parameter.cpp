#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

/// The key that an argument names.
const VarDecl* key_in(const Expr* argument) {
  const auto* named = dyn_cast_or_null<DeclRefExpr>(spelled(argument));
  const auto* key = named == nullptr ? nullptr : dyn_cast<VarDecl>(named->getDecl());
  return key == nullptr ? nullptr : key->getCanonicalDecl();
}

/// `with_value(ctx, key, v)`: its key; null where it is another call.
const VarDecl* given_by(const Expr* value) {
  const auto* call = dyn_cast_or_null<CallExpr>(spelled(value));
  if (call == nullptr || call->getNumArgs() < 3 || !is_of_curfew(call->getDirectCallee(), "with_value"))
    return nullptr;
  return key_in(call->getArg(1));
}

/// `ctx.value(key)`: its key; null where it is another call.
const VarDecl* read_by(const CallExpr* call) {
  const auto* member = dyn_cast<CXXMemberCallExpr>(call);
  const CXXMethodDecl* method = member == nullptr ? nullptr : member->getMethodDecl();
  if (method == nullptr || method->getIdentifier() == nullptr || method->getName() != "value") return nullptr;
  const QualType type = member->getImplicitObjectArgument()->getType();
  return call->getNumArgs() == 1 && (is_context(type) || is_scope(type)) ? key_in(call->getArg(0)) : nullptr;
}

const VarDecl* variable_in(const Expr* expression) {
  const auto* named = dyn_cast_or_null<DeclRefExpr>(spelled(expression));
  return named == nullptr ? nullptr : dyn_cast<VarDecl>(named->getDecl());
}

/// What one function does with keys.
class find_keys : public own_code {
 public:
  bool VisitVarDecl(VarDecl* variable) override {
    const VarDecl* key = variable->hasInit() ? given_by(variable->getInit()) : nullptr;
    if (key == nullptr || !variable->isLocalVarDecl() || variable->getType()->isReferenceType()) return true;
    made.push_back({variable, key});
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    if (const VarDecl* key = read_by(call)) {
      const Expr* object = cast<CXXMemberCallExpr>(call)->getImplicitObjectArgument();
      reads.push_back({call, key, variable_in(object), given_by(object)});
    }
    if (const VarDecl* key = given_by(call)) gives.push_back({call, key});
    calls.push_back(call);
    return true;
  }

  struct derived {
    const VarDecl* variable;
    const VarDecl* key;
  };
  struct read {
    const CallExpr* call;
    const VarDecl* key;
    const VarDecl* from;
    const VarDecl* of_temporary;  // the key of a with_value in the same expression
  };
  struct give {
    const CallExpr* call;
    const VarDecl* key;
  };
  llvm::SmallVector<derived, 2> made;
  llvm::SmallVector<read, 2> reads;
  llvm::SmallVector<give, 2> gives;
  llvm::SmallVector<const CallExpr*, 16> calls;
};

/// Each place in a translation unit that names a key: what reads it, and what else is done with it.
class find_readers : public tree_walk {
 public:
  explicit find_readers(const VarDecl* key) : key_(key) {}

  bool VisitFunctionDecl(FunctionDecl* function) override {
    if (!function->doesThisDeclarationHaveABody() || function->isTemplateInstantiation()) return true;
    find_keys here;
    here.TraverseStmt(function->getBody());
    for (const find_keys::read& each : here.reads) {
      if (each.key != key_) continue;
      ++reads;
      reader = function;
    }
    for (const find_keys::give& each : here.gives) gives += each.key == key_ ? 1 : 0;
    return true;
  }
  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    const auto* variable = dyn_cast<VarDecl>(named->getDecl());
    if (variable != nullptr && variable->getCanonicalDecl() == key_) ++names;
    return true;
  }

  const FunctionDecl* reader = nullptr;  // the last one
  unsigned reads = 0;
  unsigned gives = 0;
  unsigned names = 0;

 private:
  const VarDecl* key_;
};

/// Is the context that the call gives handed on to nothing but one call? That call.
const CallExpr* only_user(const find_keys& keys, const find_keys::give& of, const Stmt* body) {
  const VarDecl* into = nullptr;
  for (const find_keys::derived& each : keys.made) {
    if (spelled(each.variable->getInit()) == of.call) into = each.variable;
  }
  class count_names : public tree_walk {
   public:
    explicit count_names(const VarDecl* of) : of_(of) {}
    bool VisitDeclRefExpr(DeclRefExpr* named) override {
      if (named->getDecl() == of_) ++count;
      return true;
    }
    unsigned count = 0;

   private:
    const VarDecl* of_;
  };
  if (into != nullptr) {
    count_names names(into);
    names.TraverseStmt(const_cast<Stmt*>(body));
    if (names.count != 1) return nullptr;
  }
  for (const CallExpr* call : keys.calls) {
    for (const Expr* argument : call->arguments()) {
      if (into != nullptr ? variable_in(argument) == into : spelled(argument) == of.call) return call;
    }
  }
  return nullptr;
}

/// Does the context that the function takes reach it from its parameter?
bool reads_its_parameter(const FunctionDecl* function, const VarDecl* key) {
  find_keys keys;
  keys.TraverseStmt(function->getBody());
  return llvm::any_of(keys.reads, [&](const find_keys::read& each) {
    return each.key == key && each.from != nullptr && llvm::is_contained(function->parameters(), each.from);
  });
}

}  // namespace

void value_as_parameter::look_at(const FunctionDecl& function, ASTContext& ast) {
  find_keys keys;
  keys.TraverseStmt(function.getBody());
  for (const find_keys::read& each : keys.reads) {
    if (is_in_macro(each.call->getBeginLoc(), ast)) continue;
    const bool is_own =
        each.of_temporary == each.key || llvm::any_of(keys.made, [&](const find_keys::derived& made) {
          return made.variable == each.from && made.key == each.key;
        });
    if (is_own)
      diag(each.call->getBeginLoc(),
           "the value of %0 was put there by this function itself: a variable says so")
          << each.key;
  }

  for (const find_keys::give& each : keys.gives) {
    if (is_in_macro(each.call->getBeginLoc(), ast)) continue;
    // Another translation unit may read a key that it can name.
    if (each.key->isExternallyVisible() && !each.key->isLocalVarDecl()) continue;
    const CallExpr* call = only_user(keys, each, function.getBody());
    const FunctionDecl* callee = call == nullptr ? nullptr : call->getDirectCallee();
    const FunctionDecl* body = nullptr;
    if (callee == nullptr || !callee->hasBody(body) || body == &function) continue;
    const auto* method = dyn_cast<CXXMethodDecl>(body);
    if (method != nullptr && method->isVirtual()) continue;
    find_readers readers(each.key);
    readers.TraverseDecl(ast.getTranslationUnitDecl());
    // Named once more than it is read and given: something else knows it.
    if (readers.reads != 1 || readers.gives != 1 || readers.names != 2 || readers.reader != body) continue;
    if (!reads_its_parameter(body, each.key)) continue;
    diag(each.call->getBeginLoc(), "%0 is read by %1 alone, which is called here: it is a parameter of it")
        << each.key << callee;
    diag(readers.reader->getLocation(), "read here", DiagnosticIDs::Note);
  }
}

}  // namespace curfew::lint
