#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "top_view.hpp"

namespace curfew_program {

/// The terminal, as long as this lives: ncurses, and nothing of it elsewhere. At its end, the terminal is as it was before.
/// Thread safety: one thread.
class screen {
 public:
  /// Throws: std::runtime_error where ncurses does not know the terminal.
  screen();
  screen(const screen&) = delete;
  screen& operator=(const screen&) = delete;
  ~screen();

  [[nodiscard]] screen_size size() const;
  void draw(const std::vector<screen_line>& lines);
  /// A key that has been pressed; none if there is none left.
  [[nodiscard]] std::optional<key_press> next_key();

  /// The window has another size.
  void resized();
  /// Gives the terminal back, stops the process, and takes the terminal again when it goes on.
  void suspend();

 private:
  struct deleter {
    void operator()(void* made) const noexcept;
  };
  std::unique_ptr<void, deleter> made_;
  bool utf8_;
  bool colours_ = false;
};

}  // namespace curfew_program
