#include "top_view.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "lines.hpp"
#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::size_t longest_input = 200;

const std::vector<std::string>& help_lines() {
  static const std::vector<std::string> made{
      "curfew top: what curfew programs are working on",
      "",
      "Z zombie   was told to stop longer ago than its limit, and still at it",
      "T told     was told to stop",
      "R running  a thread is at it",
      "W waiting  no thread is at it",
      "Q queued   it has not begun",
      "",
      "LEFT       until its deadline; -1.2 s: since it was told to stop",
      "NOBODY     CPU since it was told to stop, for nobody",
      "",
      "Arrows, PgUp, PgDn, Home, End   move",
      "Enter                           the page of one task; s there: its stacks",
      "F3 or /, n                      search, the next one",
      "F4 or \\                         filter; Esc clears it",
      "F5 or t                         trees or a list",
      "F6 or >                         order: urgency, age, CPU, CPU for nobody, time left",
      "F9 or k                         end a task, and all below it",
      "space                           pause",
      "F10, q or Esc                   quit",
  };
  return made;
}

void append_utf8(std::string& to, char32_t code) {
  const auto byte = [&to](char32_t bits) { to += static_cast<char>(static_cast<unsigned char>(bits)); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0U | code >> 6U);
    byte(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    byte(0xE0U | code >> 12U);
    byte(0x80U | (code >> 6U & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  } else {
    byte(0xF0U | code >> 18U);
    byte(0x80U | (code >> 12U & 0x3FU));
    byte(0x80U | (code >> 6U & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  }
}

void erase_last(std::string& text) {
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80U) text.pop_back();
  if (!text.empty()) text.pop_back();
}

char letter_of(state s) {
  constexpr std::string_view letters = "QWRTZ";
  return letters[static_cast<std::size_t>(s)];
}

/// Cuts a line at the screen's edge, and fills it up to there where `fill` says so.
screen_line fitted(screen_line line, std::size_t width, std::optional<look_of> fill = {}) {
  std::size_t used = 0;
  screen_line made;
  for (auto& each : line) {
    if (used >= width) break;
    each.text = cut(each.text, width - used);
    used += width_of(each.text);
    made.push_back(std::move(each));
  }
  if (fill && used < width) made.push_back({std::string(width - used, ' '), *fill});
  return made;
}

/// The columns that a screen of a width has room for.
struct columns {
  explicit columns(std::size_t width, bool many) {
    words = width >= 110;
    process = many && width >= 70 ? 16 : 0;
    nobody = width >= 60;
    cpu = width >= 50;
    const std::size_t fixed =
        (words ? 8U : 2U) + 2 * 9U + (cpu ? 9U : 0U) + (nobody ? 9U : 0U) + (process != 0 ? process + 1 : 0);
    const std::size_t rest = width > fixed ? width - fixed : 0;
    where = rest >= 90 ? 30 : rest >= 46 ? 22 : 0;
    waits = rest >= 62 ? 16 : 0;
    task = rest - (where != 0 ? where + 1 : 0) - (waits != 0 ? waits + 1 : 0);
  }

  bool words;
  bool cpu;
  bool nobody;
  std::size_t process;
  std::size_t task;
  std::size_t waits;
  std::size_t where;
};

struct cells {
  std::string state;
  std::string age;
  std::string left;
  std::string cpu;
  std::string nobody;
  std::string process;
  std::string task;
  std::string waits;
  std::string where;
};

std::string put_together(const columns& c, const cells& of) {
  std::string line = c.words ? curfew_program::left(of.state, 7) : of.state.substr(0, 1);
  line += ' ' + right(of.age, 8) + ' ' + right(of.left, 8) + ' ';
  if (c.cpu) line += right(of.cpu, 8) + ' ';
  if (c.nobody) line += right(of.nobody, 8) + ' ';
  if (c.process != 0) line += curfew_program::left(of.process, c.process) + ' ';
  line += curfew_program::left(of.task, c.task);
  if (c.waits != 0) line += ' ' + curfew_program::left(of.waits, c.waits);
  if (c.where != 0) line += ' ' + curfew_program::left(cut_front(of.where, c.where), c.where);
  return line;
}

/// "12 min 05 s" has no room in a column.
std::string narrow(double ms) {
  std::string made = duration(ms);
  constexpr std::string_view minutes = " min ";
  constexpr std::string_view hours = " h ";
  if (const auto at = made.find(minutes); at != std::string::npos) {
    made.replace(at, minutes.size(), "m");
    made.erase(made.rfind(' '), 1);  // 12m05s
  } else if (const auto after = made.find(hours); after != std::string::npos) {
    made.replace(after, hours.size(), "h");
    made.erase(made.rfind(' ')) += 'm';  // 3h12m
  }
  return made;
}

std::string narrow_left(const placed_task& of) {
  const auto& task = *of.task;
  if (task.told) return '-' + narrow(task.told->ago_ms + of.since_look_ms);
  return task.remaining_ms ? narrow(std::max(*task.remaining_ms - of.since_look_ms, 0.0)) : std::string();
}

/// "inspect_z… 4711": of a name that has no room, its number stays.
std::string narrow_name(const std::string& name, std::size_t columns) {
  const auto number = name.rfind(' ');
  if (number == std::string::npos || name.size() - number + 2 > columns) return name;
  return cut(name.substr(0, number), columns - (name.size() - number)) + name.substr(number);
}

look_of look_for(const row& of, bool selected) {
  const auto s = of.of.task->state;
  if (selected) return s == state::zombie ? look_of::selected_alarm : look_of::selected;
  if (s == state::zombie) return look_of::alarm;
  if (s == state::told) return look_of::told;
  return of.matches ? look_of::plain : look_of::quiet;
}

screen_line key_bar(std::size_t width) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 8> keys{{{"F1", "Help"},
                                                                               {"F3", "Search"},
                                                                               {"F4", "Filter"},
                                                                               {"F5", "Tree"},
                                                                               {"F6", "Order"},
                                                                               {"F9", "End"},
                                                                               {"Enter", "Task"},
                                                                               {"F10", "Quit"}}};
  screen_line line;
  for (const auto& [name, does] : keys) {
    line.push_back({std::string(name), look_of::plain});
    line.push_back({std::string(does) + ' ', look_of::key});
  }
  return fitted(std::move(line), width, look_of::key);
}

void add_counts(screen_line& to, const totals& all, double cpu, double nobody) {
  to.push_back({count(all.zombies) + (all.zombies == 1 ? " zombie" : " zombies"),
                all.zombies > 0 ? look_of::alarm : look_of::plain});
  to.push_back(
      {", " + count(all.told) + " told, " + count(all.open) + " open; CPU " + cores(cpu), look_of::plain});
  to.push_back({", for nobody " + cores(nobody), nobody >= 0.005 ? look_of::alarm : look_of::plain});
  to.push_back({" cores; " + count(all.zombies_ever) + " zombies ever", look_of::plain});
}

}  // namespace

// ---- keys ----

wish top_view::press(key_press pressed) {
  message_.clear();
  if (prompt_ != prompt::none) return press_in_prompt(pressed);
  wish wanted;
  if (help_) {
    help_ = false;
    return wanted;
  }
  if (page_) return press_on_page(pressed);
  press_in_list(pressed, wanted);
  return wanted;
}

wish top_view::press_in_prompt(key_press pressed) {
  wish wanted;
  switch (pressed.key) {
    case key::character:
      if (typed_.size() < longest_input) append_utf8(typed_, pressed.code);
      break;
    case key::backspace:
      erase_last(typed_);
      break;
    case key::enter: {
      const auto what = std::exchange(prompt_, prompt::none);
      if (what == prompt::search) {
        search_ = lower(typed_);
        search_on();
      } else if (what == prompt::reason && !typed_.empty()) {
        wanted.end = end_request{ending_id_, typed_};
      }
      return wanted;
    }
    case key::escape:
      if (prompt_ == prompt::filter) how_.filter.clear();
      prompt_ = prompt::none;
      return wanted;
    default:
      break;
  }
  if (prompt_ == prompt::filter) how_.filter = lower(typed_);
  return wanted;
}

wish top_view::press_on_page(key_press pressed) {
  wish wanted;
  const auto back = [&](std::size_t lines) { page_first_ -= std::min(page_first_, lines); };
  switch (pressed.key) {
    case key::up:
      back(1);
      break;
    case key::down:
      ++page_first_;
      break;
    case key::page_up:
      back(shown_);
      break;
    case key::page_down:
      page_first_ += shown_;
      break;
    case key::home:
      page_first_ = 0;
      break;
    case key::end:
      page_first_ = page_lines_.size();
      break;
    case key::cancel:
      ask_reason(page_->id, page_lines_.empty() ? page_->id : page_lines_.front());
      break;
    case key::help:
      help_ = true;
      break;
    case key::escape:
    case key::enter:
    case key::backspace:
    case key::quit:
      page_.reset();
      wanted.page_changed = true;
      break;
    case key::character:
      if (pressed.code == 'q') {
        page_.reset();
        wanted.page_changed = true;
      } else if (pressed.code == 's') {
        page_->with_stack = !page_->with_stack;
        wanted.page_changed = true;
      } else if (pressed.code == 'k') {
        ask_reason(page_->id, page_lines_.empty() ? page_->id : page_lines_.front());
      }
      break;
    default:
      break;
  }
  return wanted;
}

void top_view::press_in_list(key_press pressed, wish& wanted) {
  if (pressed.key == key::character) {
    switch (pressed.code) {
      case 'q':
        pressed.key = key::quit;
        break;
      case 'h':
      case '?':
        pressed.key = key::help;
        break;
      case '/':
        pressed.key = key::search;
        break;
      case '\\':
        pressed.key = key::filter;
        break;
      case 't':
        pressed.key = key::tree;
        break;
      case '>':
        pressed.key = key::order;
        break;
      case 'k':
        pressed.key = key::cancel;
        break;
      case 'n':
        search_on();
        return;
      case ' ':
        toggle_pause();
        return;
      default:
        return;
    }
  }
  const placed_task* at = selected_ < rows_.size() ? &rows_[selected_].of : nullptr;
  switch (pressed.key) {
    case key::up:
      move_to(selected_ - std::min<std::size_t>(selected_, 1));
      break;
    case key::down:
      move_to(selected_ + 1);
      break;
    case key::page_up:
      move_to(selected_ - std::min(selected_, shown_));
      break;
    case key::page_down:
      move_to(selected_ + shown_);
      break;
    case key::home:
      selected_ = 0;
      selected_id_.clear();
      break;
    case key::end:
      move_to(rows_.size());
      break;
    case key::enter:
      if (at == nullptr) break;
      page_ = open_page{at->task->id, false};
      page_lines_.clear();
      page_first_ = 0;
      wanted.page_changed = true;
      break;
    case key::help:
      help_ = true;
      break;
    case key::search:
      ask(prompt::search);
      break;
    case key::filter:
      ask(prompt::filter, how_.filter);
      break;
    case key::tree:
      how_.tree = !how_.tree;
      break;
    case key::order:
      how_.by = next(how_.by);
      message_ = "ordered by " + std::string(word_of(how_.by));
      break;
    case key::cancel:
      if (at != nullptr) ask_reason(at->task->id, label_of(at->task->kind, at->task->name));
      break;
    case key::quit:
    case key::escape:
      wanted.quit = true;
      break;
    default:
      break;
  }
}

void top_view::move_to(std::size_t index) {
  if (rows_.empty()) return;
  selected_ = std::min(index, rows_.size() - 1);
  selected_id_ = rows_[selected_].of.task->id;
}

void top_view::ask(prompt what, std::string text) {
  prompt_ = what;
  typed_ = std::move(text);
}

void top_view::ask_reason(const std::string& id, const std::string& label) {
  if (!may_end_) {
    message_ = "ending a task needs a token: --token-file, or CURFEW_TOKEN";
    return;
  }
  ending_id_ = id;
  ending_label_ = label;
  ask(prompt::reason);
}

void top_view::search_on() {
  if (search_.empty()) return;
  for (std::size_t i = 1; i <= rows_.size(); ++i) {
    const std::size_t at = (selected_ + i) % rows_.size();
    const auto& task = *rows_[at].of.task;
    if (lower(label_of(task.kind, task.name)).contains(search_)) return move_to(at);
  }
  message_ = "nothing has \"" + printable(search_) + "\" in its name";
}

void top_view::toggle_pause() {
  if (frozen_) {
    frozen_.reset();
  } else {
    frozen_ = processes;
    frozen_at_ = now_;
  }
}

void top_view::fill(const open_page& of, std::vector<std::string> lines) {
  if (page_ == of) page_lines_ = std::move(lines);
}

// ---- drawing ----

void top_view::read_rows(curfew::clock::time_point now) {
  const auto& from = frozen_ ? *frozen_ : processes;
  const auto at = frozen_ ? frozen_at_ : now;
  std::vector<placed_task> tasks;
  names_.clear();
  kept_.clear();
  for (std::size_t i = 0; i < from.size(); ++i) {
    names_.push_back(from[i].name);
    if (!from[i].last) continue;
    kept_.push_back(from[i].last);
    for (const auto& each : from[i].last->tasks) tasks.push_back({&each, i, from[i].since_look_ms(at)});
  }
  rows_ = arrange(tasks, how_, names_);
  if (!selected_id_.empty()) {
    const auto is_it = [this](const row& each) { return each.of.task->id == selected_id_; };
    const auto found = std::ranges::find_if(rows_, is_it);
    if (found != rows_.end()) selected_ = static_cast<std::size_t>(found - rows_.begin());
  }
  selected_ = rows_.empty() ? 0 : std::min(selected_, rows_.size() - 1);
}

std::vector<screen_line> top_view::header(std::size_t width, std::size_t most) const {
  const auto& from = frozen_ ? *frozen_ : processes;
  std::vector<screen_line> made;
  totals sum;
  double cpu = 0;
  double nobody = 0;
  std::size_t away = 0;
  for (const auto& each : from) {
    if (!each.last) {
      ++away;
      continue;
    }
    const auto& its = each.last->totals;
    sum.open += its.open;
    sum.told += its.told;
    sum.zombies += its.zombies;
    sum.zombies_ever += its.zombies_ever;
    cpu += each.cpu.cores();
    nobody += each.for_nobody.cores();
  }
  if (from.size() > 1 && most > 0) {
    screen_line line{
        {count(from.size()) + " processes" + (away > 0 ? ", " + count(away) + " away" : "") + ": ",
         look_of::plain}};
    add_counts(line, sum, cpu, nobody);
    made.push_back(fitted(std::move(line), width));
  }
  for (const auto& each : from) {
    if (made.size() >= most) break;
    screen_line line{{each.name + ": ", look_of::plain}};
    if (each.last) {
      add_counts(line, each.last->totals, each.cpu.cores(), each.for_nobody.cores());
    } else {
      line.push_back({"away: " + each.away, look_of::told});
    }
    made.push_back(fitted(std::move(line), width));
  }
  return made;
}

screen_line top_view::status(std::size_t width) const {
  switch (prompt_) {
    case prompt::search:
      return fitted({{"Search: " + printable(typed_) + '_', look_of::plain}}, width);
    case prompt::filter:
      return fitted({{"Filter: " + printable(typed_) + '_', look_of::plain}}, width);
    case prompt::reason:
      return fitted({{"Why end " + ending_label_ + "? " + printable(typed_) + '_', look_of::plain}}, width);
    case prompt::none:
      break;
  }
  if (!message_.empty()) return fitted({{message_, look_of::plain}}, width);
  screen_line line;
  if (frozen_) line.push_back({"[paused] ", look_of::told});
  if (!how_.filter.empty()) line.push_back({"[filter: " + printable(how_.filter) + "] ", look_of::told});
  if (selected_ < rows_.size()) line.push_back({story_of(rows_[selected_].of), look_of::quiet});
  return fitted(std::move(line), width);
}

std::vector<screen_line> top_view::draw_text(const std::vector<std::string>& lines, screen_size size,
                                             const std::string& keys) {
  std::vector<screen_line> made;
  const bool bar = size.height >= 4;
  shown_ = std::max<std::size_t>(size.height - (bar ? 2 : 0), 1);
  page_first_ = std::min(page_first_, lines.size() - std::min(lines.size(), shown_));
  for (std::size_t i = page_first_; i < lines.size() && made.size() < shown_; ++i) {
    made.push_back(fitted({{lines[i], i == 0 ? look_of::head : look_of::plain}}, size.width));
  }
  made.resize(shown_);
  if (bar) {
    made.push_back(status(size.width));
    made.push_back(fitted({{keys, look_of::key}}, size.width, look_of::key));
  }
  return made;
}

std::string top_view::why_empty() const {
  const auto& from = frozen_ ? *frozen_ : processes;
  const bool answers =
      std::ranges::any_of(from, [](const process_view& each) { return each.last != nullptr; });
  if (!answers) return "No process answers.";
  return how_.filter.empty() ? "Nothing is open." : "Nothing matches.";
}

std::vector<screen_line> top_view::draw(curfew::clock::time_point now, screen_size size) {
  now_ = now;
  if (size.height == 0 || size.width == 0) return {};
  read_rows(now);
  if (help_) return draw_text(help_lines(), size, "any key: back");
  if (page_) {
    static const std::vector<std::string> loading{"…"};
    return draw_text(page_lines_.empty() ? loading : page_lines_, size,
                     "Esc back  s stack  F9 end  arrows scroll");
  }
  const std::size_t height = size.height;
  std::vector<screen_line> made =
      header(size.width, height >= 8 ? std::max<std::size_t>(height / 4, 1) : height >= 5);
  const columns widths(size.width, processes.size() > 1);
  if (height >= 6) {
    const cells head{
        "STATE",     "AGE",      "LEFT", "CPU", "NOBODY", "PROCESS", how_.tree ? "TASK" : "TASK (no trees)",
        "WAITS FOR", "OPENED AT"};
    made.push_back(fitted({{put_together(widths, head), look_of::head}}, size.width, look_of::head));
  }
  const std::size_t below = height >= 6 ? 2 : 0;
  shown_ = std::max<std::size_t>(height - std::min(height, made.size() + below), 1);
  first_ = std::min(first_, selected_);
  if (selected_ >= first_ + shown_) first_ = selected_ + 1 - shown_;
  first_ = std::min(first_, rows_.size() - std::min(rows_.size(), shown_));
  for (std::size_t i = 0; i < shown_; ++i) {
    const std::size_t at = first_ + i;
    if (at >= rows_.size()) {
      made.emplace_back();
      if (i == 0 && rows_.empty()) made.back() = {{why_empty(), look_of::quiet}};
      continue;
    }
    const auto& each = rows_[at];
    const auto& task = *each.of.task;
    std::string state_text =
        widths.words ? std::string(word_of(task.state)) : std::string(1, letter_of(task.state));
    const cells of{std::move(state_text),
                   narrow(each.of.age_ms()),
                   narrow_left(each.of),
                   duration(task.cpu_ms),
                   for_nobody_of(each.of),
                   each.of.process < names_.size() ? narrow_name(names_[each.of.process], widths.process)
                                                   : std::string(),
                   each.branch + label_of(task.kind, task.name),
                   task.waits ? task.waits->what : std::string(),
                   short_place(task.file, task.line)};
    made.push_back(fitted({{put_together(widths, of), look_for(each, at == selected_)}}, size.width));
  }
  if (below != 0) {
    made.push_back(status(size.width));
    made.push_back(key_bar(size.width));
  }
  made.resize(height);
  for (auto& line : made) line = fitted(std::move(line), size.width);
  return made;
}

}  // namespace curfew_program
