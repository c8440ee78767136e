#include "output.hpp"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstddef>
#include <iostream>

#include "text.hpp"

namespace curfew_program {

namespace {

/// Columns of the terminal; 0: it is none, or does not say.
std::size_t terminal_width() {
  winsize size{};
  const bool known = ::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return known ? size.ws_col : 0;
}

std::string for_locale(std::string_view text) { return shows_utf8() ? std::string(text) : ascii(text); }

}  // namespace

bool shows_utf8() { return std::string_view(::nl_langinfo(CODESET)) == "UTF-8"; }

void print_lines(std::span<const std::string> lines) {
  const std::size_t width = terminal_width();
  for (const auto& line : lines) std::cout << for_locale(width != 0 ? cut(line, width) : line) << '\n';
  std::cout.flush();
}

void print_json(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::cout << text << std::endl;
}

void complain(std::string_view text) { std::cerr << "curfew: " << for_locale(text) << std::endl; }

}  // namespace curfew_program
