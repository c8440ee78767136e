#include "screen.hpp"

#include <curses.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "output.hpp"
#include "text.hpp"

namespace curfew_program {

namespace {

enum pair : short { red = 1, yellow, inverse, inverse_red, bar };

constexpr int escape_wait_ms = 25;  // for the rest of a key that begins with Esc

attr_t attributes_of(look_of as, bool colours) {
  const auto in = [colours](short which) {
    return colours ? static_cast<attr_t>(COLOR_PAIR(which)) : A_NORMAL;
  };
  switch (as) {
    case look_of::plain:
      return A_NORMAL;
    case look_of::alarm:
      return A_BOLD | in(red);
    case look_of::told:
      return in(yellow);
    case look_of::quiet:
      return A_DIM;
    case look_of::head:
      return A_BOLD;
    case look_of::selected:
      return colours ? in(inverse) : A_REVERSE;
    case look_of::selected_alarm:
      return A_BOLD | (colours ? in(inverse_red) : A_REVERSE);
    case look_of::key:
      return colours ? in(bar) : A_REVERSE;
  }
  return A_NORMAL;
}

void start_colours() {
  ::start_color();
  ::use_default_colors();
  ::init_pair(red, COLOR_RED, -1);
  ::init_pair(yellow, COLOR_YELLOW, -1);
  ::init_pair(inverse, COLOR_BLACK, COLOR_CYAN);
  ::init_pair(inverse_red, COLOR_WHITE, COLOR_RED);
  ::init_pair(bar, COLOR_BLACK, COLOR_CYAN);
}

std::optional<key> named(wint_t code) {
  switch (code) {
    case KEY_UP:
      return key::up;
    case KEY_DOWN:
      return key::down;
    case KEY_PPAGE:
      return key::page_up;
    case KEY_NPAGE:
      return key::page_down;
    case KEY_HOME:
      return key::home;
    case KEY_END:
      return key::end;
    case KEY_ENTER:
      return key::enter;
    case KEY_BACKSPACE:
      return key::backspace;
    default:
      break;
  }
  if (code == KEY_F(1)) return key::help;
  if (code == KEY_F(3)) return key::search;
  if (code == KEY_F(4)) return key::filter;
  if (code == KEY_F(5)) return key::tree;
  if (code == KEY_F(6)) return key::order;
  if (code == KEY_F(9)) return key::cancel;
  if (code == KEY_F(10)) return key::quit;
  return std::nullopt;
}

}  // namespace

void screen::deleter::operator()(void* made) const noexcept {
  ::endwin();
  ::delscreen(static_cast<SCREEN*>(made));
}

screen::screen() : utf8_(shows_utf8()) {
  made_.reset(::newterm(nullptr, stdout, stdin));
  if (!made_) {
    const char* term = std::getenv("TERM");
    throw std::runtime_error("the terminal is not known: TERM=" + printable(term != nullptr ? term : "") +
                             "; curfew ls prints the same once");
  }
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, true);
  ::nodelay(stdscr, true);
  ::curs_set(0);
  ::set_escdelay(escape_wait_ms);
  const char* none = std::getenv("NO_COLOR");
  colours_ = ::has_colors() && (none == nullptr || *none == '\0');
  if (colours_) start_colours();
}

screen::~screen() = default;

screen_size screen::size() const {
  const int height = ::getmaxy(stdscr);
  const int width = ::getmaxx(stdscr);
  return {static_cast<std::size_t>(width > 0 ? width : 0), static_cast<std::size_t>(height > 0 ? height : 0)};
}

void screen::draw(const std::vector<screen_line>& lines) {
  ::werase(stdscr);
  for (std::size_t y = 0; y < lines.size(); ++y) {
    ::wmove(stdscr, static_cast<int>(y), 0);
    for (const auto& each : lines[y]) {
      ::wattrset(stdscr, static_cast<int>(attributes_of(each.as, colours_)));
      const std::string text = utf8_ ? each.text : ascii(each.text);
      ::waddnstr(stdscr, text.c_str(), -1);
    }
    ::wattrset(stdscr, A_NORMAL);
  }
  ::wrefresh(stdscr);
}

std::optional<key_press> screen::next_key() {
  for (;;) {
    wint_t code = 0;
    const int got = ::wget_wch(stdscr, &code);
    if (got == ERR) return std::nullopt;
    if (got == KEY_CODE_YES) {
      if (const auto known = named(code)) return key_press{*known, 0};
      continue;
    }
    if (code == 27) return key_press{key::escape, 0};
    if (code == '\r' || code == '\n') return key_press{key::enter, 0};
    if (code == 127 || code == '\b') return key_press{key::backspace, 0};
    if (code >= ' ') return key_press{key::character, static_cast<char32_t>(code)};
  }
}

void screen::resized() {
  winsize now{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) != 0 || now.ws_row == 0 || now.ws_col == 0) return;
  ::resizeterm(now.ws_row, now.ws_col);
  ::clearok(stdscr, true);
}

void screen::suspend() {
  ::endwin();
  ::kill(::getpid(), SIGSTOP);
  resized();
  ::wrefresh(stdscr);
}

}  // namespace curfew_program
