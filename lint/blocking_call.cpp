#include "checks.hpp"
#include "code.hpp"

#include <clang/Lex/Lexer.h>
#include <llvm/ADT/StringExtras.h>

namespace curfew::lint {

using namespace clang;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* usual =
    "::sleep;::usleep;::nanosleep;::clock_nanosleep;::poll;::ppoll;::select;::pselect;::epoll_wait;::epoll_"
    "pwait;"
    "::recv;::recvfrom;::recvmsg;::accept;::accept4;::connect;::getaddrinfo;::gethostbyname;::wait;::waitpid;"
    "::waitid;"
    "::system;::popen;::pause;::flock;::sem_wait;::pthread_join;::pthread_cond_wait;"
    "::std::system;::std::this_thread::sleep_for;::std::this_thread::sleep_until;"
    "::std::condition_variable::wait;::std::condition_variable_any::wait;"
    "::std::future::get;::std::future::wait;::std::shared_future::get;::std::shared_future::wait;"
    "::std::__basic_future::wait;::std::thread::join;::std::jthread::join;"
    "::std::latch::wait;::std::barrier::wait;::std::barrier::arrive_and_wait;"
    "::std::counting_semaphore::acquire;"
    "::sqlite3_step;::sqlite3_exec;::PQexec;::PQexecParams;::PQexecPrepared;::PQprepare;::PQgetResult;::"
    "PQconnectdb;"
    "::mysql_query;::mysql_real_query;::mysql_real_connect;::redisCommand;::redisConnect;::curl_easy_perform";

/// Without the inline namespaces and template arguments of its name.
std::string name_of(const FunctionDecl* function) {
  std::string name = function->getNameAsString();
  for (const DeclContext* at = function->getDeclContext(); at != nullptr && !at->isTranslationUnit();
       at = at->getParent()) {
    if (const auto* space = dyn_cast<NamespaceDecl>(at)) {
      if (!space->isInline() && space->getName() != "_V2") name = space->getNameAsString() + "::" + name;
    } else if (const auto* record = dyn_cast<CXXRecordDecl>(at)) {
      name = record->getNameAsString() + "::" + name;
    }
  }
  return "::" + name;
}

/// What a call is about: the object that it is called on, or libpq's connection.
std::optional<place> object_of(const CallExpr* call) {
  if (const auto* member = dyn_cast<CXXMemberCallExpr>(call))
    return place_of(member->getImplicitObjectArgument());
  const llvm::StringRef name = call->getDirectCallee()->getName();
  const bool is_of_libpq = name == "PQisBusy" || name == "PQgetResult";
  if (is_of_libpq && call->getNumArgs() == 1) return place_of(call->getArg(0));
  return std::nullopt;
}

/// A call after which another one of the same object need not block.
bool looks(const CallExpr* call) {
  const llvm::StringRef name = call->getDirectCallee()->getName();
  return isa<CXXMemberCallExpr>(call) ? name == "wait_for" || name == "wait_until" || name == "request_stop"
                                      : name == "PQisBusy";
}

class find_waits : public own_code {
 public:
  explicit find_waits(const std::vector<std::string>& names) : names_(names) {}

  // What is awaited does not block, whatever its name.
  bool TraverseCoawaitExpr(CoawaitExpr* awaited) override {
    const Expr* operand = spelled(awaited->getOperand());
    if (const auto* call = dyn_cast<CallExpr>(operand)) {
      awaited_ = call;
    }
    return TraverseStmt(awaited->getOperand());
  }
  bool TraverseDependentCoawaitExpr(DependentCoawaitExpr* awaited) override {
    if (const auto* call = dyn_cast<CallExpr>(spelled(awaited->getOperand()))) awaited_ = call;
    return TraverseStmt(awaited->getOperand());
  }
  bool VisitCallExpr(CallExpr* call) override {
    if (call == awaited_) return true;
    const FunctionDecl* callee = call->getDirectCallee();
    if (callee == nullptr || callee->getIdentifier() == nullptr) return true;
    if (looks(call)) {
      if (auto object = object_of(call)) looked_at.push_back(std::move(*object));
    }
    if (is_listed(callee)) {
      listed.push_back({call, nullptr});
    } else if (const NamedDecl* twin = twin_of(callee)) {
      twins.push_back({call, twin});
    }
    return true;
  }

  struct wait {
    const CallExpr* call;
    const NamedDecl* twin;
  };
  llvm::SmallVector<wait, 4> listed;
  llvm::SmallVector<wait, 4> twins;       // blocks, and has an asynchronous twin
  llvm::SmallVector<place, 4> looked_at;  // by a wait with a limit, or asked whether it would block

 private:
  bool is_listed(const FunctionDecl* callee) const {
    const llvm::StringRef last = callee->getName();
    bool may_be = false;
    for (const std::string& name : names_) {
      if (llvm::StringRef(name).ends_with(last)) may_be = true;
    }
    return may_be && llvm::is_contained(names_, name_of(callee));
  }

  /// `async_f` of a function `f` of curfew that takes a context.
  static const NamedDecl* twin_of(const FunctionDecl* callee) {
    if (!is_in_curfew(callee) || callee->getNumParams() == 0 ||
        !is_context(callee->getParamDecl(0)->getType()))
      return nullptr;
    if (callee->getName().starts_with("async_") || is_awaitable(callee->getReturnType())) return nullptr;
    if (!is_result(callee->getReturnType())) return nullptr;
    const std::string name = "async_" + callee->getName().str();
    const IdentifierInfo& id = callee->getASTContext().Idents.get(name);
    const auto found = callee->getDeclContext()->getRedeclContext()->lookup(&id);
    return found.empty() ? nullptr : found.front();
  }

  const std::vector<std::string>& names_;
  const CallExpr* awaited_ = nullptr;
};

/// Where the function's own name stands, behind `curfew::` or `client.`.
SourceLocation name_in(const CallExpr* call) {
  const Expr* callee = call->getCallee()->IgnoreParenImpCasts();
  if (const auto* member = dyn_cast<MemberExpr>(callee)) return member->getMemberLoc();
  if (const auto* named = dyn_cast<DeclRefExpr>(callee)) return named->getLocation();
  return {};
}

/// A call that returns at once, by one of its arguments: poll with no timeout, MSG_DONTWAIT, WNOHANG.
bool is_instant(const CallExpr* call, const ASTContext& ast) {
  const llvm::StringRef name = call->getDirectCallee()->getName();
  for (const Expr* argument : call->arguments()) {
    const SourceManager& sources = ast.getSourceManager();
    const CharSourceRange range = sources.getExpansionRange(argument->getSourceRange());
    const std::string text = Lexer::getSourceText(range, sources, ast.getLangOpts()).str();
    if (text.find("MSG_DONTWAIT") != std::string::npos || text.find("WNOHANG") != std::string::npos)
      return true;
  }
  const bool has_timeout = name == "poll" || name == "epoll_wait" || name == "epoll_pwait";
  if (has_timeout && call->getNumArgs() >= 3) {
    Expr::EvalResult value;
    const Expr* timeout = call->getArg(name == "poll" ? 2 : 3);
    if (!timeout->isValueDependent() && timeout->EvaluateAsInt(value, ast) && value.Val.getInt().isZero())
      return true;
  }
  return false;
}

}  // namespace

blocking_call::blocking_call(llvm::StringRef name, clang::tidy::ClangTidyContext* of)
    : function_check(name, of),
      listed_(Options.get("Functions", usual).str()) {
  const std::string all = listed_ + ";" + Options.get("MoreFunctions", "").str();
  llvm::SmallVector<llvm::StringRef, 64> parts;
  llvm::StringRef(all).split(parts, ';', -1, false);
  for (const llvm::StringRef part : parts) {
    const llvm::StringRef bare = part.trim();
    if (!bare.empty()) names_.push_back((bare.starts_with("::") ? "" : "::") + bare.str());
  }
}

void blocking_call::storeOptions(clang::tidy::ClangTidyOptions::OptionMap& to) {
  Options.store(to, "Functions", listed_);
  Options.store(to, "MoreFunctions", Options.get("MoreFunctions", ""));
}

void blocking_call::look_at(const FunctionDecl& function, ASTContext& ast) {
  const bool in_coroutine = is_coroutine(function);
  const auto near = context_in_reach(function, captures::used);
  if (!in_coroutine && !near) return;
  find_waits waits(names_);
  waits.TraverseStmt(function.getBody());

  if (in_coroutine) {
    for (const auto& [call, twin] : waits.twins) {
      const SourceLocation at = call->getBeginLoc();
      if (is_in_macro(at, ast)) continue;
      auto told = diag(at, "'%0' blocks the thread of a coroutine, and all that runs on it: co_await %1")
                  << call->getDirectCallee()->getName() << twin;
      const SourceLocation name = name_in(call);
      if (!at.isMacroID() && name.isFileID() && name.isValid()) {
        told << FixItHint::CreateInsertion(at, "co_await ") << FixItHint::CreateInsertion(name, "async_");
      }
    }
  }
  if (waits.listed.empty()) return;

  const obedient under(function);
  if (!in_coroutine && under.interrupts()) return;
  for (const auto& [call, twin] : waits.listed) {
    const SourceLocation at = call->getBeginLoc();
    if (is_in_macro(at, ast) || is_instant(call, ast)) continue;
    if (!in_coroutine && under.in(call)) continue;
    if (const auto object = object_of(call); object && llvm::is_contained(waits.looked_at, *object)) continue;
    const FunctionDecl* callee = call->getDirectCallee();
    if (in_coroutine) {
      auto told = diag(at, "'%0' blocks the thread of a coroutine, and all that runs on it")
                  << callee->getName();
      if (near && name_of(callee) == "::std::this_thread::sleep_for" &&
          is_class(function.getReturnType(), "asio", "awaitable")) {
        const std::string time = text_of(call->getArg(0)->getSourceRange(), ast);
        const auto* of =
            dyn_cast<ClassTemplateSpecializationDecl>(function.getReturnType()->getAsCXXRecordDecl());
        const QualType value = of == nullptr ? QualType() : of->getTemplateArgs()[0].getAsType();
        std::string leave = value.isNull()        ? ""
                            : value->isVoidType() ? "co_return"
                            : is_result(value)    ? "co_return slept.error()"
                                                  : "";
        if (!time.empty() && !at.isMacroID() && !leave.empty()) {
          told << FixItHint::CreateReplacement(call->getSourceRange(),
                                               "if (auto slept = co_await curfew::async_sleep_for(" +
                                                   near->expression + ", " + time + "); !slept) " + leave);
        }
      }
      continue;
    }
    auto told = diag(at, "'%0' blocks, and does not end with '%1'") << callee->getName() << near->expression;
    if (name_of(callee) == "::std::this_thread::sleep_for") {
      const std::string time = text_of(call->getArg(0)->getSourceRange(), ast);
      const QualType value = function.getReturnType();
      const std::string leave = value->isVoidType() ? "return"
                                : is_result(value)  ? "return slept.error()"
                                                    : "";
      if (!time.empty() && !at.isMacroID() && !leave.empty()) {
        told << FixItHint::CreateReplacement(
            call->getSourceRange(),
            "if (auto slept = curfew::sleep_for(" + near->expression + ", " + time + "); !slept) " + leave);
      }
    } else if (name_of(callee) == "::std::condition_variable_any::wait" && call->getNumArgs() == 2) {
      const SourceLocation second = call->getArg(1)->getBeginLoc();
      if (!second.isMacroID())
        told << FixItHint::CreateInsertion(second, near->expression + ".stop_token(), ");
    }
  }
}

}  // namespace curfew::lint
