#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>

#include "checks.hpp"

namespace curfew::lint {

namespace {

class checks_module : public clang::tidy::ClangTidyModule {
 public:
  void addCheckFactories(clang::tidy::ClangTidyCheckFactories& checks) override {
    checks.registerCheck<background_in_request>("curfew-background-in-request");
    checks.registerCheck<blocking_call>("curfew-blocking-call");
    checks.registerCheck<context_dropped>("curfew-context-dropped");
    checks.registerCheck<context_parameter>("curfew-context-parameter");
    checks.registerCheck<coroutine_reference>("curfew-coroutine-reference");
    checks.registerCheck<endless_loop>("curfew-endless-loop");
    checks.registerCheck<gcc12_coroutine>("curfew-gcc12-coroutine");
    checks.registerCheck<ignored_end>("curfew-ignored-end");
    checks.registerCheck<scope_not_used>("curfew-scope-not-used");
    checks.registerCheck<stored_context>("curfew-stored-context");
    checks.registerCheck<value_as_parameter>("curfew-value-as-parameter");
  }
};

}  // namespace

}  // namespace curfew::lint

// clang-tidy finds the module when it loads the library.
static const clang::tidy::ClangTidyModuleRegistry::Add<curfew::lint::checks_module>
    curfew_lint_module(  // NOLINT
        "curfew-module", "What a compiler does not say about a context.");
