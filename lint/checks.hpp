#pragma once

#include <clang-tidy/ClangTidyCheck.h>

#include <string>
#include <vector>

/// The checks, one class each; what a check finds, and why, stands on its page in docs/lint.
///
/// Each looks at one function, or one declaration, of the user's own code at a time: neither at system headers, nor at
/// instances of templates, whose pattern is looked at instead. Where the code does not say for certain that it is
/// wrong, they are silent.
namespace curfew::lint {

/// What the checks that look at functions share.
class function_check : public clang::tidy::ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  [[nodiscard]] bool isLanguageVersionSupported(const clang::LangOptions& language) const override {
    return language.CPlusPlus20 != 0;
  }
  void registerMatchers(clang::ast_matchers::MatchFinder* finder) final;
  void check(const clang::ast_matchers::MatchFinder::MatchResult& found) final;
  void onStartOfTranslationUnit() final;

 protected:
  /// `function` is a definition in the user's code: a function, a member function, or the call of a lambda.
  virtual void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) = 0;
  /// The same for classes.
  virtual void look_at_class(const clang::CXXRecordDecl& /*record*/, clang::ASTContext& /*ast*/) {}
};

class scope_not_used : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class background_in_request : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class coroutine_reference : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class endless_loop : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class gcc12_coroutine : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class ignored_end : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class context_parameter : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class stored_context : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
  void look_at_class(const clang::CXXRecordDecl& record, clang::ASTContext& ast) override;
  void look_at_statics(const clang::FunctionDecl& function, const clang::ASTContext& ast);
};

class context_dropped : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class value_as_parameter : public function_check {
 public:
  using function_check::function_check;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;
};

class blocking_call : public function_check {
 public:
  blocking_call(llvm::StringRef name, clang::tidy::ClangTidyContext* of);
  void storeOptions(clang::tidy::ClangTidyOptions::OptionMap& to) override;

 private:
  void look_at(const clang::FunctionDecl& function, clang::ASTContext& ast) override;

  std::string listed_;
  std::vector<std::string> names_;
};

}  // namespace curfew::lint
