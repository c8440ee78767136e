#include "inspect/symbols.hpp"

#include <backtrace.h>
#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace curfew::inspect {

namespace {

std::string demangled(const char* symbol) {
  if (symbol == nullptr) return {};
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &failed), &std::free);
  return failed == 0 && text ? text.get() : symbol;
}

void ignore_error(void* /*data*/, const char* /*message*/, int /*number*/) noexcept {}

/// Of the program and its libraries. Never freed: libbacktrace cannot.
backtrace_state* debug_information() noexcept {
  static auto* const only = backtrace_create_state(nullptr, 1, &ignore_error, nullptr);
  return only;
}

struct symbol {
  std::string function;
  std::uint64_t offset = 0;
};

void see_symbol(void* to, std::uintptr_t address, const char* name, std::uintptr_t begin,
                std::uintptr_t /*size*/) {
  if (name == nullptr) return;
  auto& found = *static_cast<symbol*>(to);
  found.function = demangled(name);
  found.offset = address - begin;
}

struct lines {
  std::vector<stack_frame>* to;
  const stack_frame* common;
};

int see_line(void* data, std::uintptr_t /*address*/, const char* file, int line, const char* function) {
  auto& into = *static_cast<lines*>(data);
  if (file == nullptr && function == nullptr) return 0;
  stack_frame& made = into.to->emplace_back(*into.common);
  if (file != nullptr) made.file = file;
  made.line = line > 0 ? static_cast<unsigned>(line) : 0;
  if (function != nullptr) made.function = demangled(function);
  return 0;
}

}  // namespace

void describe_address(std::uintptr_t address, std::vector<stack_frame>& to) {
  stack_frame common;
  common.address = address;
  Dl_info where{};
  if (::dladdr(reinterpret_cast<const void*>(address), &where) != 0) {  // NOLINT(*-int-to-ptr)
    if (where.dli_fname != nullptr) common.module = where.dli_fname;
    if (where.dli_sname != nullptr) {
      common.function = demangled(where.dli_sname);
      common.offset = address - reinterpret_cast<std::uintptr_t>(where.dli_saddr);
    }
  }
  backtrace_state* from = debug_information();
  symbol found;
  if (from != nullptr) backtrace_syminfo(from, address, &see_symbol, &ignore_error, &found);
  if (!found.function.empty()) {
    common.function = std::move(found.function);
    common.offset = found.offset;
  }
  const std::size_t before = to.size();
  lines into{&to, &common};
  if (from != nullptr) backtrace_pcinfo(from, address, &see_line, &ignore_error, &into);
  if (to.size() == before) to.push_back(std::move(common));
}

}  // namespace curfew::inspect
