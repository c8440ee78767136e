#include "checks.hpp"
#include "code.hpp"

#include <clang/Lex/Lexer.h>
#include <llvm/ADT/StringSet.h>

#include <optional>
#include <utility>

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

bool has_destructor(QualType type) {
  return !type.isNull() && !type->isDependentType() && type.isDestructedType() == QualType::DK_cxx_destructor;
}

/// A lambda that keeps what has a destructor.
bool keeps(const LambdaExpr* lambda) {
  for (const LambdaCapture& capture : lambda->captures()) {
    if (capture.getCaptureKind() == LCK_StarThis) {
      if (lambda->getLambdaClass()->hasNonTrivialDestructor()) return true;
      continue;
    }
    if (!capture.capturesVariable() || capture.getCaptureKind() != LCK_ByCopy) continue;
    if (has_destructor(capture.getCapturedVar()->getType().getNonReferenceType())) return true;
  }
  return false;
}

/// `{a, b}`, or `type(a, b)`, of an aggregate whose members, or of an array whose elements, have destructors.
bool is_aggregate_of_some(const Expr* list) {
  const QualType type = list->getType();
  if (type.isNull() || type->isDependentType()) return false;
  if (type->isArrayType()) return has_destructor(type);
  const CXXRecordDecl* record = type->getAsCXXRecordDecl();
  if (record == nullptr || !record->hasDefinition()) return false;
  for (const FieldDecl* field : record->fields()) {
    if (has_destructor(field->getType())) return true;
  }
  return false;
}

/// What g++ 12 destroys twice.
struct twice {
  enum class kind { lambda, aggregate, choice };
  const Expr* what;
  const Expr* written;  // with the type's name before the braces; null: none is written
  kind of;
  bool is_called;     // `[q] { … }()`
  SourceLocation at;  // where the expression names it, for one in a default argument
};

/// Looks through one whole expression.
class find_twice {
 public:
  void look(const Stmt* part) { look(part, {}); }

  int awaits = 0;
  llvm::SmallVector<twice, 2> found;

 private:
  struct around {
    const Expr* written = nullptr;
    bool is_called = false;
    bool is_in_found = false;
    SourceLocation at;
  };

  void look(const Stmt* part, around in) {
    if (part == nullptr || isa<UnaryExprOrTypeTraitExpr, CXXNoexceptExpr, RequiresExpr>(part)) return;
    if (const auto* lambda = dyn_cast<LambdaExpr>(part)) {
      if (keeps(lambda)) note(lambda, lambda, twice::kind::lambda, in);
      for (unsigned i = 0; i < lambda->capture_size(); ++i) look(lambda->capture_init_begin()[i], inner(in));
      return;
    }
    if (const auto* awaited = dyn_cast<CoroutineSuspendExpr>(part)) {
      ++awaits;
      return look(awaited->getOperand(), inner(in));
    }
    if (const auto* awaited = dyn_cast<DependentCoawaitExpr>(part)) {
      ++awaits;
      return look(awaited->getOperand(), inner(in));
    }
    if (const auto* given = dyn_cast<CXXDefaultArgExpr>(part)) {
      in.at = in.at.isValid() ? in.at : given->getUsedLocation();
      return look(given->getExpr(), in);
    }
    if (const auto* named = dyn_cast<CXXFunctionalCastExpr>(part)) {
      in.written = named;
      return look(named->getSubExpr(), in);
    }
    if (const auto* list = dyn_cast<InitListExpr>(part)) {
      if (const InitListExpr* whole = list->getSemanticForm()) list = whole;
      return look_into(list, twice::kind::aggregate, is_aggregate_of_some(list), in);
    }
    if (const auto* list = dyn_cast<CXXParenListInitExpr>(part))
      return look_into(list, twice::kind::aggregate, is_aggregate_of_some(list), in);
    if (const auto* choice = dyn_cast<AbstractConditionalOperator>(part)) {
      const bool is_made = choice->isPRValue() && has_destructor(choice->getType());
      in.written = nullptr;
      return look_into(choice, twice::kind::choice, is_made, in);
    }
    if (const auto* call = dyn_cast<CXXOperatorCallExpr>(part);
        call != nullptr && call->getOperator() == OO_Call && call->getNumArgs() > 0) {
      around called = inner(in);
      called.is_called = true;
      look(call->getArg(0), called);
      for (unsigned i = 1; i < call->getNumArgs(); ++i) look(call->getArg(i), inner(in));
      return;
    }
    // What the compiler puts around an expression does not part it from what is written before its braces.
    const bool is_wrapper = isa<ImplicitCastExpr, MaterializeTemporaryExpr, CXXBindTemporaryExpr,
                                ExprWithCleanups, ParenExpr, ConstantExpr>(part);
    for (const Stmt* child : part->children()) look(child, is_wrapper ? in : inner(in));
  }
  void look_into(const Expr* whole, twice::kind of, bool is_twice, around in) {
    if (is_twice) note(whole, in.written, of, in);
    around inside = inner(in);
    inside.is_in_found |= is_twice;
    for (const Stmt* child : whole->children()) look(child, inside);
  }
  static around inner(around in) { return {nullptr, false, in.is_in_found, in.at}; }
  void note(const Expr* what, const Expr* written, twice::kind of, const around& in) {
    if (in.is_in_found) return;
    found.push_back({what, written, of, in.is_called,
                     in.at.isValid() ? in.at : (written != nullptr ? written : what)->getBeginLoc()});
  }
};

/// The whole expressions of a function that await something, and destroy something twice.
class find_expressions {
 public:
  struct finding {
    find_twice in;
    const Stmt* line;  // before which a line can be put; null: there is no such place
  };
  llvm::SmallVector<finding, 4> found;

  void walk(const Stmt* at, const Stmt* line) {
    if (at == nullptr) return;
    if (const auto* body = dyn_cast<CoroutineBodyStmt>(at)) return walk(body->getBody(), nullptr);
    if (const auto* returned = dyn_cast<CoreturnStmt>(at)) return walk(returned->getOperand(), line);
    if (const auto* expression = dyn_cast<Expr>(at)) {
      find_twice in;
      in.look(expression);
      if (in.awaits > 0 && !in.found.empty()) found.push_back({std::move(in), line});
      return;
    }
    if (const auto* choice = dyn_cast<IfStmt>(at)) {
      for (const Stmt* part : choice->children()) {
        walk(part, part == choice->getThen() || part == choice->getElse() ? nullptr : line);
      }
      return;
    }
    if (const auto* choice = dyn_cast<SwitchStmt>(at)) {
      for (const Stmt* part : choice->children()) {
        const auto* body = dyn_cast_or_null<CompoundStmt>(part);
        if (body == nullptr) {
          walk(part, line);
        } else {  // no variable can stand between its cases
          for (const Stmt* each : body->children()) walk(each, nullptr);
        }
      }
      return;
    }
    const bool is_block = isa<CompoundStmt>(at);
    const bool is_line = isa<DeclStmt>(at) && cast<DeclStmt>(at)->isSingleDecl();
    for (const Stmt* child : at->children()) walk(child, is_block ? child : is_line ? line : nullptr);
  }
};

bool awaits(const Stmt* part) {
  find_twice in;
  in.look(part);
  return in.awaits > 0;
}

/// Are the variables that `part` names there before `line`?
bool is_known_before(const Stmt* part, SourceLocation line, const ASTContext& ast) {
  if (part == nullptr) return true;
  if (const auto* named = dyn_cast<DeclRefExpr>(part)) {
    const auto* variable = dyn_cast<VarDecl>(named->getDecl());
    if (variable != nullptr && variable->isLocalVarDecl() &&
        !ast.getSourceManager().isBeforeInTranslationUnit(variable->getLocation(), line)) {
      return false;
    }
  }
  if (const auto* lambda = dyn_cast<LambdaExpr>(part)) {
    for (unsigned i = 0; i < lambda->capture_size(); ++i) {
      if (!is_known_before(lambda->capture_init_begin()[i], line, ast)) return false;
    }
    return true;
  }
  for (const Stmt* child : part->children()) {
    if (!is_known_before(child, line, ast)) return false;
  }
  return true;
}

/// What stands before `at` on its line, if that is blank.
std::optional<std::string> indent_of(SourceLocation at, const ASTContext& ast) {
  const SourceManager& sources = ast.getSourceManager();
  const auto [file, offset] = sources.getDecomposedLoc(at);
  const llvm::StringRef text = sources.getBufferData(file).take_front(offset);
  const llvm::StringRef before =
      text.drop_front(text.rfind('\n') == llvm::StringRef::npos ? 0 : text.rfind('\n') + 1);
  if (before.find_first_not_of(" \t") != llvm::StringRef::npos) return std::nullopt;
  return before.str();
}

/// The words of a function, apart from its comments.
llvm::StringSet<> words_of(const FunctionDecl& function, const ASTContext& ast) {
  llvm::StringSet<> words;
  const SourceManager& sources = ast.getSourceManager();
  const SourceLocation begin = sources.getFileLoc(function.getBeginLoc());
  const unsigned end = sources.getFileOffset(sources.getFileLoc(function.getEndLoc()));
  const auto [file, start] = sources.getDecomposedLoc(begin);
  const llvm::StringRef text = sources.getBufferData(file);
  Lexer lexer(sources.getLocForStartOfFile(file), ast.getLangOpts(), text.begin(), text.begin() + start,
              text.end());
  Token token;
  while (!lexer.LexFromRawLexer(token) && sources.getFileOffset(token.getLocation()) < end) {
    if (token.is(tok::raw_identifier)) words.insert(token.getRawIdentifier());
  }
  return words;
}

/// `wanted`, or with a number behind it, so that it is none of `taken`; it is one of them from now on.
std::string new_name(const std::string& wanted, llvm::StringSet<>& taken) {
  std::string name = wanted;
  for (int number = 2; !taken.insert(name).second; ++number) name = wanted + std::to_string(number);
  return name;
}

}  // namespace

void gcc12_coroutine::look_at(const FunctionDecl& function, ASTContext& ast) {
  find_expressions expressions;
  expressions.walk(function.getBody(), nullptr);
  std::optional<llvm::StringSet<>> taken;
  for (const auto& [in, line] : expressions.found) {
    for (const twice& each : in.found) {
      if (is_in_macro(each.at, ast)) continue;
      auto told = diag(each.at,
                       "g++ 12 destroys %select{what this lambda keeps|the members of this aggregate|what "
                       "this '?:' gives}0 twice, "
                       "since the expression awaits: %select{name the lambda on a line of its own|name the "
                       "object on a line of its "
                       "own|use if and else, on a line of its own}0")
                  << static_cast<int>(each.of);
      if (in.found.size() > 1 || line == nullptr || each.written == nullptr ||
          each.at != each.written->getBeginLoc())
        continue;
      const SourceLocation start = line->getBeginLoc();
      const std::string text = text_of(each.written->getSourceRange(), ast);
      if (text.empty() || start.isMacroID() || awaits(each.what) || !is_known_before(each.what, start, ast))
        continue;
      const auto indent = indent_of(start, ast);
      if (!indent) continue;
      if (!taken) taken = words_of(function, ast);
      const std::string name = new_name(each.of == twice::kind::lambda ? "work" : "options", *taken);
      told << FixItHint::CreateInsertion(start, "auto " + name + " = " + text + ";\n" + *indent)
           << FixItHint::CreateReplacement(each.written->getSourceRange(),
                                           each.is_called ? name : "std::move(" + name + ")");
    }
  }
}

}  // namespace curfew::lint
