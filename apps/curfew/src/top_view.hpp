#pragma once

#include <cstddef>
#include <cstdint>
#include <curfew/core/clock.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "forest.hpp"
#include "process_view.hpp"

namespace curfew_program {

/// What a piece of a line stands out by, besides its text.
enum class look_of : std::uint8_t { plain, alarm, told, quiet, head, selected, selected_alarm, key };

struct piece {
  std::string text;
  look_of as = look_of::plain;
};
using screen_line = std::vector<piece>;

struct screen_size {
  std::size_t width = 80;
  std::size_t height = 24;
};

enum class key : std::uint8_t {
  character,
  up,
  down,
  page_up,
  page_down,
  home,
  end,
  enter,
  escape,
  backspace,
  help,
  search,
  filter,
  tree,
  order,
  cancel,
  quit
};

struct key_press {
  curfew_program::key key = key::character;
  char32_t code = 0;  // of a character
};

/// A task that the user wants to be ended.
struct end_request {
  std::string id;
  std::string reason;
};

/// What a press asks of the program.
struct wish {
  bool quit = false;
  bool page_changed = false;
  std::optional<end_request> end;
};

/// The page of one task that is open.
struct open_page {
  std::string id;
  bool with_stack = false;
  bool operator==(const open_page&) const = default;
};

/// What `curfew top` shows, and what keys do to it; it knows of no terminal.
/// Thread safety: one thread at a time.
class top_view {
 public:
  /// \param may_end  There is a token.
  top_view(std::size_t how_many, bool may_end) : processes(how_many), may_end_(may_end) {}

  /// Set by what listens to the consoles.
  std::vector<process_view> processes;

  wish press(key_press pressed);
  /// The lines of the screen, from its top: as many as it has, each no wider than it.
  [[nodiscard]] std::vector<screen_line> draw(curfew::clock::time_point now, screen_size size);

  [[nodiscard]] const std::optional<open_page>& page() const noexcept { return page_; }
  /// What is to be shown on the page, if it is still open.
  void fill(const open_page& of, std::vector<std::string> lines);
  /// A line for the user, until the next key.
  void say(std::string text) { message_ = std::move(text); }

 private:
  enum class prompt : std::uint8_t { none, search, filter, reason };

  wish press_in_prompt(key_press pressed);
  wish press_on_page(key_press pressed);
  void press_in_list(key_press pressed, wish& wanted);
  void move_to(std::size_t index);
  void ask(prompt what, std::string text = {});
  void ask_reason(const std::string& id, const std::string& label);
  void search_on();
  void toggle_pause();
  void read_rows(curfew::clock::time_point now);

  [[nodiscard]] std::vector<screen_line> draw_text(const std::vector<std::string>& lines, screen_size size,
                                                   const std::string& keys);
  [[nodiscard]] std::vector<screen_line> header(std::size_t width, std::size_t most) const;
  [[nodiscard]] std::string why_empty() const;
  [[nodiscard]] screen_line status(std::size_t width) const;

  const bool may_end_;
  arrangement how_;
  std::optional<std::vector<process_view>> frozen_;
  curfew::clock::time_point now_;
  curfew::clock::time_point frozen_at_;
  std::vector<row> rows_;                          // of the last draw
  std::vector<std::shared_ptr<const look>> kept_;  // to whose tasks the rows point
  std::vector<std::string> names_;
  std::size_t selected_ = 0;
  std::string selected_id_;  // empty: what is on top stays selected
  std::size_t first_ = 0;    // of the rows shown
  std::size_t shown_ = 1;    // rows that the screen has room for
  bool help_ = false;
  std::optional<open_page> page_;
  std::vector<std::string> page_lines_;
  std::size_t page_first_ = 0;
  prompt prompt_ = prompt::none;
  std::string typed_;
  std::string search_;
  std::string ending_id_;
  std::string ending_label_;
  std::string message_;
};

}  // namespace curfew_program
