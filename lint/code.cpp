#include "code.hpp"

#include <clang/Lex/Lexer.h>
#include <llvm/ADT/STLExtras.h>

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace): the code is about clang's classes alone

namespace {

const CXXRecordDecl* class_of(QualType type) {
  if (type.isNull()) return nullptr;
  return type.getNonReferenceType().getCanonicalType()->getAsCXXRecordDecl();
}

const NamespaceDecl* namespace_of(const Decl* declaration) {
  const DeclContext* at = declaration->getDeclContext();
  while (at != nullptr && !at->isTranslationUnit()) {
    if (const auto* space = dyn_cast<NamespaceDecl>(at); space != nullptr && !space->isInline()) return space;
    at = at->getParent();
  }
  return nullptr;
}

bool is_named(const NamedDecl* declaration, llvm::StringRef name) {
  return declaration->getIdentifier() != nullptr && declaration->getName() == name;
}

/// A class that says `ctx()`; its own members alone.
const CXXMethodDecl* giver_of(const CXXRecordDecl* of) {
  for (const CXXMethodDecl* method : of->methods()) {
    if (is_named(method, "ctx") && method->getNumParams() == 0 && is_context(method->getReturnType()))
      return method;
  }
  return nullptr;
}

bool derives_from_scope(const CXXRecordDecl* record) {
  if (is_of_curfew(record, "cancel_scope")) return true;
  const CXXRecordDecl* definition = record->getDefinition();
  if (definition == nullptr) return false;
  for (const CXXBaseSpecifier& base : definition->bases()) {
    const CXXRecordDecl* parent = base.getType()->getAsCXXRecordDecl();
    if (parent != nullptr && derives_from_scope(parent)) return true;
  }
  return false;
}

}  // namespace

bool is_of_curfew(const NamedDecl* declaration, llvm::StringRef name) {
  if (declaration == nullptr || !is_named(declaration, name)) return false;
  const NamespaceDecl* space = namespace_of(declaration);
  return space != nullptr && is_named(space, "curfew") && space->getDeclContext()->isTranslationUnit();
}

bool is_in_curfew(const Decl* declaration) {
  for (const NamespaceDecl* space = namespace_of(declaration); space != nullptr;
       space = namespace_of(space)) {
    if (is_named(space, "curfew") && space->getDeclContext()->isTranslationUnit()) return true;
  }
  return false;
}

bool is_context(QualType type) { return is_of_curfew(class_of(type), "context"); }

bool is_scope(QualType type) {
  const CXXRecordDecl* record = class_of(type);
  return record != nullptr && derives_from_scope(record);
}

bool is_request(QualType type) {
  const CXXRecordDecl* record = class_of(type);
  record = record == nullptr ? nullptr : record->getDefinition();
  return record != nullptr && !is_in_curfew(record) && !derives_from_scope(record) &&
         giver_of(record) != nullptr;
}

bool is_class(QualType type, llvm::StringRef space, llvm::StringRef name) {
  const CXXRecordDecl* record = class_of(type);
  if (record == nullptr || !is_named(record, name)) return false;
  for (const NamespaceDecl* in = namespace_of(record); in != nullptr; in = namespace_of(in)) {
    if (is_named(in, space)) return true;
  }
  return false;
}

bool is_datum(QualType type) {
  type = type.getNonReferenceType();
  if (type->isArithmeticType() || type->isEnumeralType()) return true;
  if (type->isPointerType() && type->getPointeeType()->isAnyCharacterType()) return true;
  if (type->isArrayType()) return type->getArrayElementTypeNoTypeQual()->isAnyCharacterType();
  for (const char* name : {"basic_string", "basic_string_view", "vector", "span", "array", "map",
                           "unordered_map", "set", "duration", "time_point", "path"}) {
    if (is_class(type, "std", name)) return true;
  }
  return false;
}

bool is_result(QualType type) { return is_of_curfew(class_of(type), "result"); }

const FunctionDecl* callee_of(const Expr* call) {
  if (const auto* as_call = dyn_cast_or_null<CallExpr>(call)) return as_call->getDirectCallee();
  if (const auto* as_construct = dyn_cast_or_null<CXXConstructExpr>(call))
    return as_construct->getConstructor();
  return nullptr;
}

bool is_root(const Expr* call) {
  const FunctionDecl* callee = callee_of(call);
  return callee != nullptr && !isa<CXXMethodDecl>(callee) &&
         (is_of_curfew(callee, "background") || is_of_curfew(callee, "todo"));
}

bool is_coroutine(const FunctionDecl& function) {
  return isa_and_nonnull<CoroutineBodyStmt>(function.getBody());
}

bool is_awaitable(QualType type) {
  const CXXRecordDecl* record = class_of(type);
  if (record == nullptr) return false;
  if (is_named(record, "awaitable")) return true;
  record = record->getDefinition();
  return record != nullptr && !record->lookup(&record->getASTContext().Idents.get("promise_type")).empty();
}

bool is_lambda(const FunctionDecl& function) {
  const auto* method = dyn_cast<CXXMethodDecl>(&function);
  return method != nullptr && method->getParent()->isLambda();
}

const Expr* spelled(const Expr* expression) {
  while (expression != nullptr) {
    const Expr* bare = expression->IgnoreUnlessSpelledInSource();
    if (const auto* call = dyn_cast<CallExpr>(bare)) {
      const FunctionDecl* callee = call->getDirectCallee();
      if (callee != nullptr && call->getNumArgs() == 1 && callee->isInStdNamespace() &&
          is_named(callee, "move")) {
        bare = call->getArg(0);
      } else if (const auto* member = dyn_cast<CXXMemberCallExpr>(call);
                 member != nullptr && isa_and_nonnull<CXXConversionDecl>(callee)) {
        bare = member->getImplicitObjectArgument();
      }
    } else if (const auto* made = dyn_cast<CXXConstructExpr>(bare);
               made != nullptr && made->getNumArgs() == 1 &&
               made->getConstructor()->isCopyOrMoveConstructor()) {
      bare = made->getArg(0);
    }
    if (bare == expression) return bare;
    expression = bare;
  }
  return nullptr;
}

std::optional<place> place_of(const Expr* expression) {
  expression = spelled(expression);
  if (expression == nullptr) return std::nullopt;
  if (isa<CXXThisExpr>(expression)) return place{};
  if (const auto* named = dyn_cast<DeclRefExpr>(expression)) {
    place found;
    found.root = named->getDecl();
    return found;
  }
  if (const auto* member = dyn_cast<MemberExpr>(expression)) {
    auto base = place_of(member->getBase());
    if (base) base->path.push_back(member->getMemberDecl());
    return base;
  }
  if (const auto* call = dyn_cast<CXXMemberCallExpr>(expression)) {
    const CXXMethodDecl* method = call->getMethodDecl();
    if (method == nullptr || call->getNumArgs() != 0 || !is_named(method, "ctx")) return std::nullopt;
    auto base = place_of(call->getImplicitObjectArgument());
    // scope and scope.ctx() are the same context.
    if (base && !is_scope(call->getImplicitObjectArgument()->getType())) base->path.push_back(method);
    return base;
  }
  return std::nullopt;
}

std::string text_of(SourceRange range, const ASTContext& ast) {
  if (range.isInvalid() || range.getBegin().isMacroID() || range.getEnd().isMacroID()) return {};
  return Lexer::getSourceText(CharSourceRange::getTokenRange(range), ast.getSourceManager(),
                              ast.getLangOpts())
      .str();
}

bool is_in_macro(SourceLocation where, const ASTContext& ast) {
  return where.isInvalid() || ast.getSourceManager().isMacroBodyExpansion(where);
}

namespace {

std::optional<reach> among_parameters(const FunctionDecl& function) {
  for (const ParmVarDecl* parameter : function.parameters()) {
    if (parameter->getName().empty()) continue;
    if (is_context(parameter->getType()) || is_scope(parameter->getType()))
      return reach{parameter->getName().str(), parameter};
  }
  for (const ParmVarDecl* parameter : function.parameters()) {
    if (parameter->getName().empty() || !is_request(parameter->getType())) continue;
    return reach{parameter->getName().str() + ".ctx()", parameter};
  }
  return std::nullopt;
}

}  // namespace

std::optional<reach> context_in_reach(const FunctionDecl& function, captures of) {
  if (auto found = among_parameters(function)) return found;
  if (!is_lambda(function)) return std::nullopt;
  const CXXRecordDecl* closure = cast<CXXMethodDecl>(function).getParent();
  for (const LambdaCapture& capture : closure->captures()) {
    if (!capture.capturesVariable() || !is_context(capture.getCapturedVar()->getType())) continue;
    return reach{capture.getCapturedVar()->getName().str(), capture.getCapturedVar()};
  }
  if (of == captures::used || closure->getLambdaCaptureDefault() == LCD_None) return std::nullopt;
  for (const DeclContext* at = closure->getDeclContext(); at != nullptr; at = at->getParent()) {
    if (const auto* around = dyn_cast<FunctionDecl>(at)) return context_in_reach(*around, of);
    if (isa<NamespaceDecl>(at)) break;
  }
  return std::nullopt;
}

namespace {

/// Is a context, a scope, or one of `known`, in it?
class mention : public tree_walk {
 public:
  explicit mention(const llvm::DenseSet<const ValueDecl*>& known) : known_(known) {}

  bool VisitDeclRefExpr(DeclRefExpr* named) override {
    return !(found = known_.contains(named->getDecl()) || obeys(named));
  }
  bool VisitMemberExpr(MemberExpr* named) override { return !(found = obeys(named)); }
  bool VisitCallExpr(CallExpr* call) override {
    return !(found = !is_root(call) && !call->getType().isNull() && obeys(call));
  }

  bool found = false;

 private:
  static bool obeys(const Expr* expression) {
    const QualType type = expression->getType();
    return is_context(type) || is_scope(type) || is_request(type) || is_class(type, "std", "stop_token");
  }

  const llvm::DenseSet<const ValueDecl*>& known_;
};

const ValueDecl* root_of(const Expr* target) {
  while (target != nullptr) {
    target = target->IgnoreParenImpCasts();
    if (const auto* named = dyn_cast<DeclRefExpr>(target)) return named->getDecl();
    if (const auto* member = dyn_cast<MemberExpr>(target)) {
      target = member->getBase();
    } else if (const auto* element = dyn_cast<ArraySubscriptExpr>(target)) {
      target = element->getBase();
    } else if (const auto* call = dyn_cast<CXXOperatorCallExpr>(target);
               call != nullptr && call->getNumArgs() > 0) {
      target = call->getArg(0);
    } else if (const auto* called = dyn_cast<CXXMemberCallExpr>(target)) {
      target = called->getImplicitObjectArgument();
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

/// `running guard(*this, ctx);`: an object, not a task of curfew, that is made from what blocks and from a context.
bool guards(const CXXConstructExpr* made) {
  const CXXRecordDecl* record = made->getConstructor()->getParent();
  if (made->getNumArgs() < 2 || is_context(made->getType()) || is_of_curfew(record, "task")) return false;
  if (!record->hasDefinition() || record->hasTrivialDestructor()) return false;
  bool has_context = false;
  bool has_other = false;
  for (const ParmVarDecl* parameter : made->getConstructor()->parameters()) {
    const QualType type = parameter->getType();
    if (is_context(type)) {
      has_context = true;
    } else if ((type->isLValueReferenceType() || type->isPointerType()) &&
               !type->getPointeeType().isConstQualified()) {
      has_other = true;
    }
  }
  return has_context && has_other;
}

bool interrupts(QualType type) {
  return is_of_curfew(class_of(type), "on_done") || is_class(type, "std", "stop_callback");
}

class collector : public tree_walk {
 public:
  explicit collector(llvm::DenseSet<const ValueDecl*>& into) : into_(into) {}

  bool VisitVarDecl(VarDecl* variable) override {
    interrupted |= interrupts(variable->getType());
    if (variable->hasInit() && mentions(variable->getInit())) add(variable);
    if (const auto* several = dyn_cast<DecompositionDecl>(variable);
        several != nullptr && into_.contains(several)) {
      for (const BindingDecl* each : several->bindings()) add(each);
    }
    return true;
  }
  bool VisitBinaryOperator(BinaryOperator* assigned) override {
    if (assigned->isAssignmentOp() && mentions(assigned->getRHS())) add(root_of(assigned->getLHS()));
    return true;
  }
  bool VisitCallExpr(CallExpr* call) override {
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee != nullptr && is_of_curfew(callee, "after_func")) interrupted = true;
    // start(ctx, [&made] { … }): what is given to a call together with a context obeys it.
    if (llvm::any_of(call->arguments(), [](const Expr* each) {
          return is_context(each->getType()) || is_scope(each->getType());
        })) {
      for (const Expr* argument : call->arguments()) {
        if (const auto* lambda = dyn_cast_or_null<LambdaExpr>(spelled(argument))) {
          for (const LambdaCapture& capture : lambda->captures()) {
            if (capture.capturesVariable()) add(capture.getCapturedVar());
          }
        }
      }
    }
    // fds.push_back(fd of ctx), stop.emplace(ctx, …)
    if (const auto* member = dyn_cast<CXXMemberCallExpr>(call)) {
      for (const Expr* argument : member->arguments()) {
        if (mentions(argument)) add(root_of(member->getImplicitObjectArgument()));
      }
    }
    if (const auto* by = dyn_cast<CXXOperatorCallExpr>(call);
        by != nullptr && by->isAssignmentOp() && by->getNumArgs() == 2 && mentions(by->getArg(1))) {
      add(root_of(by->getArg(0)));
    }
    return true;
  }
  bool VisitCXXConstructExpr(CXXConstructExpr* made) override {
    interrupted |= interrupts(made->getType()) || guards(made);
    return true;
  }

  bool grown = false;
  bool interrupted = false;

 private:
  void add(const ValueDecl* variable) {
    if (variable != nullptr && into_.insert(variable).second) grown = true;
  }
  bool mentions(const Stmt* part) const {
    mention look(into_);
    look.TraverseStmt(const_cast<Stmt*>(part));
    return look.found;
  }

  llvm::DenseSet<const ValueDecl*>& into_;
};

}  // namespace

obedient::obedient(const FunctionDecl& function) {
  for (const ParmVarDecl* parameter : function.parameters()) {
    if (is_context(parameter->getType()) || is_scope(parameter->getType()) ||
        is_request(parameter->getType())) {
      variables_.insert(parameter);
    }
  }
  // What is made from what is found later comes with the next round; deeper chains are rare.
  for (int round = 0; round < 4; ++round) {
    collector collect(variables_);
    collect.TraverseStmt(function.getBody());
    interrupts_ |= collect.interrupted;
    if (!collect.grown) break;
  }
}

bool obedient::in(const Stmt* part) const {
  if (part == nullptr) return false;
  mention look(variables_);
  look.TraverseStmt(const_cast<Stmt*>(part));
  return look.found;
}

}  // namespace curfew::lint
