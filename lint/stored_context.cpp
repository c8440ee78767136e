#include "checks.hpp"
#include "code.hpp"

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

const CXXRecordDecl* record_of(QualType type) {
  const CXXRecordDecl* record = type.getNonReferenceType().getCanonicalType()->getAsCXXRecordDecl();
  return record == nullptr ? nullptr : record->getDefinition();
}

bool is_container(QualType type) {
  for (const char* name : {"vector", "deque", "list", "map", "unordered_map", "multimap",
                           "unordered_multimap", "set", "unordered_set", "queue", "stack"}) {
    if (is_class(type, "std", name)) return true;
  }
  return false;
}

/// A context, a place for one, or a container of them.
bool keeps_contexts(QualType type, int depth = 0) {
  if (is_context(type)) return !type->isReferenceType();
  bool is_place = is_container(type);
  for (const char* name : {"optional", "shared_ptr", "unique_ptr", "pair"})
    is_place |= is_class(type, "std", name);
  const auto* of = dyn_cast_or_null<ClassTemplateSpecializationDecl>(
      is_place ? type.getCanonicalType()->getAsCXXRecordDecl() : nullptr);
  if (of == nullptr || depth > 2) return false;
  for (const TemplateArgument& argument : of->getTemplateArgs().asArray().take_front(2)) {
    if (argument.getKind() == TemplateArgument::Type && keeps_contexts(argument.getAsType(), depth + 1))
      return true;
  }
  return false;
}

bool is_parameter_context(const ValueDecl* declared) {
  return isa<ParmVarDecl>(declared) && (is_context(declared->getType()) || is_request(declared->getType()));
}

/// Comes the value, as it is, from a context that is a parameter? Not what is derived from it, nor a value of it.
const ParmVarDecl* parameter_in(const Expr* value) {
  value = spelled(value);
  if (value == nullptr || value->isTypeDependent()) return nullptr;
  if (const auto* named = dyn_cast<DeclRefExpr>(value)) {
    return is_parameter_context(named->getDecl()) && is_context(named->getType())
               ? cast<ParmVarDecl>(named->getDecl())
               : nullptr;
  }
  if (const auto* member = dyn_cast<CXXMemberCallExpr>(value);
      member != nullptr && is_context(member->getType())) {
    const auto* object = dyn_cast_or_null<DeclRefExpr>(spelled(member->getImplicitObjectArgument()));
    return object != nullptr && is_parameter_context(object->getDecl()) ? cast<ParmVarDecl>(object->getDecl())
                                                                        : nullptr;
  }
  // optional<context>(ctx), make_unique<context>(ctx), {id, ctx}
  llvm::SmallVector<const Expr*, 4> parts;
  if (const auto* made = dyn_cast<CXXConstructExpr>(value)) {
    if (keeps_contexts(made->getType())) parts.append(made->arg_begin(), made->arg_end());
  } else if (const auto* list = dyn_cast<InitListExpr>(value)) {
    for (const Expr* part : list->inits()) parts.push_back(part);
  } else if (const auto* call = dyn_cast<CallExpr>(value);
             call != nullptr && keeps_contexts(call->getType())) {
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee != nullptr && callee->isInStdNamespace()) parts.append(call->arg_begin(), call->arg_end());
  }
  for (const Expr* part : parts) {
    if (const ParmVarDecl* found = parameter_in(part)) return found;
  }
  return nullptr;
}

/// What the code does to the places in which contexts are kept: members of this, and variables of static storage.
class find_keeping : public own_code {
 public:
  bool VisitBinaryOperator(BinaryOperator* assigned) override {
    if (assigned->getOpcode() == BO_Assign) note(assigned->getLHS(), assigned->getRHS(), assigned);
    return true;
  }
  bool VisitCXXOperatorCallExpr(CXXOperatorCallExpr* assigned) override {
    if (assigned->getOperator() == OO_Equal && assigned->getNumArgs() == 2)
      note(assigned->getArg(0), assigned->getArg(1), assigned);
    return true;
  }
  bool VisitCXXMemberCallExpr(CXXMemberCallExpr* call) override {
    const CXXMethodDecl* method = call->getMethodDecl();
    if (method == nullptr || method->getIdentifier() == nullptr) return true;
    const llvm::StringRef name = method->getName();
    const ValueDecl* place = kept_in(call->getImplicitObjectArgument());
    if (place == nullptr) return true;
    for (const char* puts : {"emplace", "emplace_back", "push_back", "insert", "insert_or_assign",
                             "try_emplace", "emplace_front", "push_front", "push"}) {
      if (name != puts) continue;
      for (const Expr* argument : call->arguments()) {
        if (const ParmVarDecl* of = parameter_in(argument)) found.push_back({place, of, call});
      }
    }
    for (const char* takes :
         {"reset", "erase", "clear", "extract", "pop_back", "pop_front", "pop", "swap", "resize"}) {
      if (name == takes) given_up.insert(place);
    }
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    // exchange(ctx_, …), swap(a, b), erase_if(all_, …), move(ctx_), and whatever takes a reference that may change it
    const FunctionDecl* callee = call->getDirectCallee();
    const bool is_operator = isa<CXXOperatorCallExpr>(call);
    for (unsigned i = 0; i < call->getNumArgs() && !is_operator; ++i) {
      const ValueDecl* place = kept_in(call->getArg(i));
      if (place == nullptr) continue;
      if (callee == nullptr || i >= callee->getNumParams()) {
        given_up.insert(place);
        continue;
      }
      const QualType type = callee->getParamDecl(i)->getType();
      if (type->isReferenceType() && !type->getPointeeType().isConstQualified()) given_up.insert(place);
    }
    return true;
  }

  struct keeping {
    const ValueDecl* where;
    const ParmVarDecl* what;
    const Expr* at;
  };
  llvm::SmallVector<keeping, 2> found;
  llvm::DenseSet<const ValueDecl*> given_up;

 private:
  static const ValueDecl* kept_in(const Expr* target) {
    const Expr* bare = target->IgnoreParenImpCasts();
    if (const auto* by = dyn_cast<CXXOperatorCallExpr>(bare);
        by != nullptr && by->getOperator() == OO_Subscript && by->getNumArgs() > 0) {
      bare = by->getArg(0)->IgnoreParenImpCasts();
    }
    const ValueDecl* place = nullptr;
    if (const auto* member = dyn_cast<MemberExpr>(bare)) {
      if (isa<CXXThisExpr>(member->getBase()->IgnoreParenImpCasts()) || isa<VarDecl>(member->getMemberDecl()))
        place = member->getMemberDecl();
    } else if (const auto* named = dyn_cast<DeclRefExpr>(bare)) {
      const auto* variable = dyn_cast<VarDecl>(named->getDecl());
      if (variable != nullptr && variable->hasGlobalStorage()) place = variable->getCanonicalDecl();
    }
    return place != nullptr && keeps_contexts(place->getType()) ? place : nullptr;
  }
  void note(const Expr* target, const Expr* value, const Expr* at) {
    const ValueDecl* place = kept_in(target);
    if (place == nullptr) return;
    if (const ParmVarDecl* of = parameter_in(value)) {
      found.push_back({place, of, at});
    } else {
      given_up.insert(place);  // another is written over it
    }
  }
};

/// All functions of a translation unit, the lambdas in them, too: what any of them gives up.
class find_all : public tree_walk {
 public:
  explicit find_all(const ASTContext& ast) : ast_(ast) {}

  bool TraverseDecl(Decl* declaration) override {
    // Headers of the system and of others say nothing about the user's variables.
    if (declaration != nullptr && ast_.getSourceManager().isInSystemHeader(declaration->getLocation()))
      return true;
    return tree_walk::TraverseDecl(declaration);
  }
  bool VisitFunctionDecl(FunctionDecl* function) override {
    if (!function->doesThisDeclarationHaveABody()) return true;
    find_keeping here;
    here.TraverseStmt(function->getBody());
    given_up.insert(here.given_up.begin(), here.given_up.end());
    return true;
  }
  llvm::DenseSet<const ValueDecl*> given_up;

 private:
  const ASTContext& ast_;
};

bool has_member(const CXXRecordDecl* record, llvm::StringRef name) {
  return !record->lookup(&record->getASTContext().Idents.get(name)).empty();
}

bool has_operator(const CXXRecordDecl* record, OverloadedOperatorKind kind) {
  return !record->lookup(record->getASTContext().DeclarationNames.getCXXOperatorName(kind)).empty();
}

/// A class whose objects live as long as one operation: what is awaited, called or derived, and what refers to things
/// around it, holds a scope, or runs.
bool is_operation(const CXXRecordDecl* record) {
  if (record->isLambda() || record->isLocalClass() != nullptr || record->getNumBases() != 0) return true;
  if (record->isAggregate()) return true;  // the parameters of something
  for (const char* name : {"await_ready", "promise_type", "ctx", "get_cancellation_slot", "done"}) {
    if (has_member(record, name)) return true;
  }
  if (has_operator(record, OO_Call) || has_operator(record, OO_Coawait)) return true;
  for (const FieldDecl* field : record->fields()) {
    const QualType type = field->getType();
    if (type->isReferenceType() || type->isPointerType() || is_scope(type) || is_awaitable(type)) return true;
    for (const char* name : {"shared_ptr", "weak_ptr", "reference_wrapper", "thread", "jthread",
                             "coroutine_handle", "stop_source", "promise"}) {
      if (is_class(type, "std", name)) return true;
    }
    const CXXRecordDecl* of = record_of(type);
    for (const char* name : {"task_group", "on_done", "task", "done_signal", "async_task_group"}) {
      if (is_of_curfew(of, name)) return true;
    }
  }
  return false;
}

/// `open(ctx)` and what else begins the one operation that an object is for.
bool begins(const FunctionDecl& method) {
  if (method.getIdentifier() == nullptr) return true;
  const llvm::StringRef name = method.getName();
  for (const char* word :
       {"start", "run", "begin", "open", "init", "setup", "set_up", "reset", "launch", "async_",
        "await_suspend", "connect", "arm", "rearm", "restart", "enter", "attach", "bind"}) {
    if (name.starts_with(word)) return true;
  }
  return false;
}

bool is_the_context(const FieldDecl* field) {
  const llvm::StringRef name = field->getName();
  return name == "ctx" || name == "ctx_" || name == "m_ctx" || name == "context" || name == "context_" ||
         name == "m_context";
}

/// The initializer of a constructor that keeps its parameter, as it is, in the field; null: none does.
const CXXCtorInitializer* keeper_of(const CXXRecordDecl* record, const FieldDecl* field) {
  for (const CXXConstructorDecl* constructor : record->ctors()) {
    const FunctionDecl* body = nullptr;
    if (!constructor->hasBody(body) || constructor->isCopyOrMoveConstructor()) continue;
    for (const CXXCtorInitializer* each : cast<CXXConstructorDecl>(body)->inits()) {
      if (each->getMember() == field && each->isWritten() && parameter_in(each->getInit()) != nullptr)
        return each;
    }
  }
  return nullptr;
}

class find_field : public tree_walk {
 public:
  explicit find_field(const FieldDecl* of) : of_(of) {}
  bool VisitMemberExpr(MemberExpr* member) override {
    return !(found = found || member->getMemberDecl() == of_);
  }
  bool found = false;

 private:
  const FieldDecl* of_;
};

/// A function for which the object's users call it: not one that makes, copies or ends it.
bool is_service(const CXXMethodDecl* method) {
  return method->isUserProvided() && method->getAccess() == AS_public && !method->isStatic() &&
         !isa<CXXConstructorDecl, CXXDestructorDecl, CXXConversionDecl>(method) &&
         !method->isOverloadedOperator() && !method->isImplicit();
}

bool takes_context(const FunctionDecl* function) {
  return llvm::any_of(function->parameters(), [](const ParmVarDecl* each) {
    return is_context(each->getType()) || is_scope(each->getType()) || is_request(each->getType());
  });
}

/// It has a lock or a channel of its own: it is made for many callers.
bool is_shared(const CXXRecordDecl* record) {
  return llvm::any_of(record->fields(), [](const FieldDecl* field) {
    const QualType type = field->getType();
    if (is_class(type, "std", "mutex") || is_class(type, "std", "shared_mutex")) return true;
    const CXXRecordDecl* of = record_of(type);
    return is_of_curfew(of, "channel") || is_of_curfew(of, "mutex") || is_of_curfew(of, "shared_mutex") ||
           is_of_curfew(of, "semaphore");
  });
}

/// Where objects of a class are made: as variables of functions alone, or elsewhere, too.
class find_objects : public tree_walk {
 public:
  explicit find_objects(const CXXRecordDecl* of) : of_(of->getCanonicalDecl()) {}
  bool VisitVarDecl(VarDecl* variable) override {
    const CXXRecordDecl* record = record_of(variable->getType());
    if (record != nullptr && record->getCanonicalDecl() == of_ && !variable->getType()->isReferenceType() &&
        !isa<ParmVarDecl>(variable)) {
      if (variable->hasLocalStorage()) ++local;
    }
    return true;
  }
  unsigned local = 0;

 private:
  const CXXRecordDecl* of_;
};

}  // namespace

void stored_context::look_at_class(const CXXRecordDecl& record, ASTContext& ast) {
  if (isa<ClassTemplateSpecializationDecl>(record) || record.isInvalidDecl() || is_operation(&record)) return;
  for (const FieldDecl* field : record.fields()) {
    if (!is_context(field->getType()) || !is_the_context(field) || is_in_macro(field->getLocation(), ast))
      continue;
    const CXXCtorInitializer* kept = keeper_of(&record, field);
    if (kept == nullptr) continue;
    const CXXMethodDecl* taking = nullptr;
    const CXXMethodDecl* waiting = nullptr;
    for (const CXXMethodDecl* method : record.methods()) {
      if (!is_service(method)) continue;
      if (takes_context(method)) {
        taking = method;
        continue;
      }
      const FunctionDecl* body = nullptr;
      if (!method->hasBody(body)) continue;
      find_field uses(field);
      uses.TraverseStmt(body->getBody());
      if (uses.found && method->getNumParams() != 0) waiting = method;
    }
    if (taking != nullptr) {
      diag(field->getLocation(),
           "%0 keeps the context it was made with, and its callers bring their own to %1: "
           "store a scope if it has work of its own, else nothing")
          << &record << taking;
      diag(kept->getSourceLocation(), "kept here", DiagnosticIDs::Note);
    } else if (waiting != nullptr && is_shared(&record)) {
      find_objects objects(&record);
      objects.TraverseDecl(ast.getTranslationUnitDecl());
      if (objects.local != 0) continue;
      diag(field->getLocation(),
           "%0 is shared by its callers, and all of them wait under the context it was made "
           "with: let %1 take a context")
          << &record << waiting;
      diag(kept->getSourceLocation(), "kept here", DiagnosticIDs::Note);
    }
  }
}

void stored_context::look_at(const FunctionDecl& function, ASTContext& ast) {
  if (isa<CXXConstructorDecl, CXXDestructorDecl>(function) || function.isMain()) return;
  look_at_statics(function, ast);
  find_keeping here;
  here.TraverseStmt(function.getBody());
  if (here.found.empty()) return;
  find_all everywhere(ast);
  everywhere.TraverseDecl(ast.getTranslationUnitDecl());
  for (const find_keeping::keeping& each : here.found) {
    if (is_in_macro(each.at->getBeginLoc(), ast) || everywhere.given_up.contains(each.where)) continue;
    if (const auto* field = dyn_cast<FieldDecl>(each.where)) {
      const auto* record = dyn_cast<CXXRecordDecl>(field->getParent());
      if (record == nullptr || is_operation(record) || is_lambda(function) || begins(function)) continue;
      // A setter that is part of making the object: `made.under(ctx).with(…)`.
      const CXXRecordDecl* given = record_of(function.getReturnType());
      if (given != nullptr && given->getCanonicalDecl() == record->getCanonicalDecl()) continue;
      // What other functions do, which are not seen here, might be to let it go.
      const bool all_seen = llvm::all_of(record->methods(), [](const CXXMethodDecl* method) {
        return !method->isUserProvided() || method->isPureVirtual() || method->hasBody();
      });
      if (!all_seen) continue;
    }
    diag(each.at->getBeginLoc(),
         "%0 keeps the context of one call, %1, and nothing lets it go: what comes later ends "
         "with that call")
        << each.where << each.what;
    diag(each.where->getLocation(), "kept here", DiagnosticIDs::Note);
  }
}

namespace {

class find_statics : public own_code {
 public:
  bool VisitVarDecl(VarDecl* variable) override {
    if (variable->isStaticLocal() && variable->hasInit() && !variable->getType()->isReferenceType())
      found.push_back(variable);
    return true;
  }
  llvm::SmallVector<VarDecl*, 2> found;
};

/// The parameter that the constructor of a class with a context among its members is given.
const ParmVarDecl* given_to(const Expr* value) {
  if (const ParmVarDecl* of = parameter_in(value)) return of;
  const auto* made = dyn_cast_or_null<CXXConstructExpr>(spelled(value));
  if (made == nullptr) return nullptr;
  const CXXRecordDecl* record = made->getConstructor()->getParent();
  const bool has_context =
      record->hasDefinition() &&
      llvm::any_of(record->fields(), [](const FieldDecl* field) { return keeps_contexts(field->getType()); });
  if (!has_context) return nullptr;
  for (const Expr* argument : made->arguments()) {
    if (const ParmVarDecl* of = parameter_in(argument)) return of;
  }
  return nullptr;
}

}  // namespace

void stored_context::look_at_statics(const FunctionDecl& function, const ASTContext& ast) {
  find_statics statics;
  statics.TraverseStmt(function.getBody());
  for (const VarDecl* each : statics.found) {
    if (is_in_macro(each->getLocation(), ast)) continue;
    if (const ParmVarDecl* of = given_to(each->getInit())) {
      diag(each->getLocation(),
           "%0 is made once, and keeps the context of the first call, %1, for all that follow")
          << each << of;
    }
  }
}

}  // namespace curfew::lint
