#include "options.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <system_error>
#include <utility>

#include "task.hpp"
#include "text.hpp"

namespace curfew_program {

namespace {

constexpr std::string_view help_text =
    R"(curfew: shows what curfew programs are working on, and what does not stop.

Usage:
  curfew top URL…            live, as htop
  curfew ls URL…             the open tasks, as trees
  curfew show ID URL…        one task: those above and below it, waits, values, cause, stacks
  curfew cancel ID --why "…" URL…
                             ends a task, and all below it
  curfew help COMMAND, curfew COMMAND --help
  curfew --version

A URL is that of a program's console, curfew::inspect::console:
  http://127.0.0.1:6060                    an address
  http://host:8080/debug/curfew            inspect::routes() mounted in a server
  unix:/run/shop/console.sock              a Unix socket
  unix:/run/shop.sock:/debug/curfew        a mount behind one
The tasks of several URLs are joined: a request that one program sent to another is one tree.

On another machine: ssh -L 6060:localhost:6060 host, or ssh -L local.sock:/run/shop/console.sock host.

Exit status: 0 fine, 1 something failed, 2 the command makes no sense.
)";

constexpr std::string_view top_help = R"(Usage: curfew top [--token-file FILE] URL…

Shows the open tasks of all URLs, live: zombies (told to stop, and still at it) on top, requests as trees. It shows the
200 most urgent tasks of each program. A program that is away is shown as such, and comes back by itself.

  --token-file FILE   the token of console_options::cancel_token, for F9; or set CURFEW_TOKEN

Keys: arrows, PgUp, PgDn, Home, End; Enter: one task; s: its stacks; F3 or /: search, n: next; F4 or \: filter;
F5 or t: trees; F6 or >: order; F9 or k: end a task; space: pause; F1, h or ?: help; F10, q or Esc: quit.
)";

constexpr std::string_view ls_help = R"(Usage: curfew ls [options] URL…

Lists the open tasks of all URLs as trees, the most urgent first.

  --state LIST     of these states: zombie, told, running, waiting, queued; with commas
  --kind KIND      of exactly this kind
  --name TEXT      with this in their names, in any case
  --path TEXT      with this in the paths of their contexts
  --trace TRACE    of this trace, 32 hex digits
  --min-age TIME   at least so old: 250ms, 1s, 5min, 2h
  --limit N        the most urgent N of each program (1000; up to 10000)
  --json           the consoles' own answers, one a line, in the order of the URLs
  --check          the exit status tells whether there are any

Exit status: 0 fine, 1 something failed, 2 usage; with --check 3 where a task matches. So in a script:
  curfew ls --check --state zombie http://127.0.0.1:6060 || alert
)";

constexpr std::string_view show_help_text = R"(Usage: curfew show ID [--json] [--stack] URL…

Shows one task, with those above it and below it in all URLs. ID is 16 hex digits, as ls prints them.

  --json     the console's own answer
  --stack    the stacks of the threads that work for it or for a task below it

Exit status: 0 fine, 1 something failed or the task is over, 2 usage.
)";

constexpr std::string_view cancel_help = R"(Usage: curfew cancel ID --why REASON [--token-file FILE] URL…

Ends the context of a task, and all below it. Its cause is "operator: REASON". The work stops where it looks at its
context, so a zombie does not care.

  --why REASON        up to 200 bytes
  --token-file FILE   its first line is the token of console_options::cancel_token; or set CURFEW_TOKEN

Exit status: 0 it was ended, 1 it was not, 2 usage.
)";

std::unexpected<std::string> wrong(std::string text) { return std::unexpected(std::move(text)); }

using parsed = std::expected<command, std::string>;
using done = std::expected<void, std::string>;

/// Options in the order in which they come: "--name value" or "--name=value".
class arguments {
 public:
  explicit arguments(std::span<const char* const> words) : rest_(words) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::string_view take() {
    std::string_view word = rest_.front();
    rest_ = rest_.subspan(1);
    attached_.reset();
    if (const auto equals = word.find('='); word.starts_with("--") && equals != std::string_view::npos) {
      attached_ = word.substr(equals + 1);
      word = word.substr(0, equals);
    }
    return word;
  }
  std::expected<std::string, std::string> value(std::string_view of) {
    std::string_view found;
    if (attached_) {
      found = *std::exchange(attached_, std::nullopt);
    } else if (!rest_.empty()) {
      found = rest_.front();
      rest_ = rest_.subspan(1);
    }
    if (found.empty()) return wrong("option " + std::string(of) + " needs a value");
    return std::string(found);
  }
  /// A flag was given a value?
  [[nodiscard]] bool has_attached() const { return attached_.has_value(); }

 private:
  std::span<const char* const> rest_;
  std::optional<std::string_view> attached_;
};

struct flag {
  std::string_view name;
  bool* set;
};
struct setting {
  std::string_view name;
  std::string* value;
};

/// Reads a command's words: flags, settings, and the rest, which is what the command is about.
std::expected<std::vector<std::string>, std::string> read_words(arguments& words, std::string_view command,
                                                                std::initializer_list<flag> flags,
                                                                std::initializer_list<setting> settings) {
  std::vector<std::string> plain;
  const auto see = std::string("; curfew ").append(command).append(" --help lists the options");
  while (!words.empty()) {
    const std::string_view word = words.take();
    if (!word.starts_with('-')) {
      plain.emplace_back(word);
      continue;
    }
    const auto* is_flag = std::ranges::find(flags, word, &flag::name);
    if (is_flag != flags.end()) {
      if (words.has_attached()) return wrong("option " + std::string(word) + " takes no value");
      *is_flag->set = true;
      continue;
    }
    const auto* is_setting = std::ranges::find(settings, word, &setting::name);
    if (is_setting == settings.end()) return wrong("there is no option " + printable(word) + see);
    auto value = words.value(word);
    if (!value) return wrong(std::move(value).error());
    *is_setting->value = *std::move(value);
  }
  return plain;
}

std::expected<std::vector<source>, std::string> read_sources(std::span<const std::string> words) {
  if (words.empty()) return wrong("which program? Name its console, such as http://127.0.0.1:6060");
  std::vector<source> made;
  for (const auto& word : words) {
    auto one = source::parse(word);
    if (!one) return wrong(std::move(one).error());
    made.push_back(*std::move(one));
  }
  return made;
}

std::expected<std::string, std::string> read_id(std::span<const std::string> words) {
  const bool fine = !words.empty() && words.front().size() == 16 &&
                    words.front().find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!fine) return wrong("which task? Its id comes first, 16 hex digits as curfew ls prints them");
  return words.front();
}

void add_query(std::string& query, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (!query.empty()) query += '&';
  query.append(name).append("=").append(percent_encode(value));
}

parsed parse_top(arguments words) {
  top_options made;
  auto plain = read_words(words, "top", {}, {{"--token-file", &made.token_file}});
  if (!plain) return wrong(std::move(plain).error());
  auto sources = read_sources(*plain);
  if (!sources) return wrong(std::move(sources).error());
  made.sources = *std::move(sources);
  return made;
}

done check_states(std::string_view list) {
  for (std::size_t from = 0; from <= list.size();) {
    const auto comma = std::min(list.find(',', from), list.size());
    if (!state_of(list.substr(from, comma - from))) {
      return wrong("--state takes zombie, told, running, waiting, queued, with commas, not " +
                   printable(list));
    }
    from = comma + 1;
  }
  return {};
}

parsed parse_ls(arguments words) {
  ls_options made;
  std::string states;
  std::string kind;
  std::string name;
  std::string path;
  std::string trace;
  std::string age;
  std::string limit;
  auto plain = read_words(words, "ls", {{"--json", &made.json}, {"--check", &made.check}},
                          {{"--state", &states},
                           {"--kind", &kind},
                           {"--name", &name},
                           {"--path", &path},
                           {"--trace", &trace},
                           {"--min-age", &age},
                           {"--limit", &limit}});
  if (!plain) return wrong(std::move(plain).error());
  if (!states.empty()) {
    if (auto fine = check_states(states); !fine) return wrong(std::move(fine).error());
  }
  std::string age_ms;
  if (!age.empty()) {
    const auto ms = parse_duration(age);
    if (!ms) return wrong("--min-age takes a time such as 250ms, 1s, 5min or 2h, not " + printable(age));
    age_ms = std::to_string(*ms);
  }
  if (!limit.empty()) {
    const auto* end = limit.data() + limit.size();
    const auto [stop, failed] = std::from_chars(limit.data(), end, made.limit);
    if (failed != std::errc() || stop != end || made.limit == 0 || made.limit > 10'000) {
      return wrong("--limit takes a number from 1 to 10000, not " + printable(limit));
    }
  }
  add_query(made.query, "state", states);
  add_query(made.query, "kind", kind);
  add_query(made.query, "name", name);
  add_query(made.query, "path", path);
  add_query(made.query, "trace", trace);
  add_query(made.query, "min_age_ms", age_ms);
  auto sources = read_sources(*plain);
  if (!sources) return wrong(std::move(sources).error());
  made.sources = *std::move(sources);
  return made;
}

parsed parse_show(arguments words) {
  show_options made;
  auto plain = read_words(words, "show", {{"--json", &made.json}, {"--stack", &made.stack}}, {});
  if (!plain) return wrong(std::move(plain).error());
  auto id = read_id(*plain);
  if (!id) return wrong(std::move(id).error());
  auto sources = read_sources(std::span(*plain).subspan(1));
  if (!sources) return wrong(std::move(sources).error());
  made.id = *std::move(id);
  made.sources = *std::move(sources);
  return made;
}

parsed parse_cancel(arguments words) {
  cancel_options made;
  auto plain = read_words(words, "cancel", {}, {{"--why", &made.reason}, {"--token-file", &made.token_file}});
  if (!plain) return wrong(std::move(plain).error());
  auto id = read_id(*plain);
  if (!id) return wrong(std::move(id).error());
  if (made.reason.empty()) return wrong("say why: --why \"stuck since the deployment\"");
  auto sources = read_sources(std::span(*plain).subspan(1));
  if (!sources) return wrong(std::move(sources).error());
  made.id = *std::move(id);
  made.sources = *std::move(sources);
  return made;
}

struct verb {
  std::string_view name;
  std::string_view help;
  parsed (*parse)(arguments);
};

constexpr verb verbs[] = {{"top", top_help, parse_top},  // NOLINT(modernize-avoid-c-arrays)
                          {"ls", ls_help, parse_ls},
                          {"show", show_help_text, parse_show},
                          {"cancel", cancel_help, parse_cancel}};

}  // namespace

std::string_view version() noexcept { return CURFEW_VERSION; }

std::expected<command, std::string> parse_options(std::span<const char* const> words) {
  const auto is_help = [](std::string_view word) { return word == "--help" || word == "-h"; };
  if (words.empty()) return wrong("what is to be done? curfew --help lists the commands");
  const std::string_view first = words.front();
  if (is_help(first)) return show_help{help_text};
  if (first == "--version") return show_version{};
  const bool asks = first == "help";
  if (asks && words.size() == 1) return show_help{help_text};
  const std::string_view name = asks ? std::string_view(words[1]) : first;
  const auto* found = std::ranges::find(verbs, name, &verb::name);
  if (found == std::end(verbs)) {
    return wrong("there is no command " + printable(name) + "; curfew --help lists them");
  }
  if (asks || std::ranges::any_of(words, is_help)) return show_help{found->help};
  return found->parse(arguments(words.subspan(1)));
}

std::optional<std::size_t> parse_duration(std::string_view text) {
  std::size_t number = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc()) return std::nullopt;
  const std::string_view unit(stop, static_cast<std::size_t>(text.data() + text.size() - stop));
  constexpr std::pair<std::string_view, std::size_t> units[] = {// NOLINT(modernize-avoid-c-arrays)
                                                                {"ms", 1},
                                                                {"s", 1000},
                                                                {"min", 60'000},
                                                                {"h", 3'600'000}};
  for (const auto& [word, factor] : units) {
    // What the console takes: 32 bits.
    if (unit == word) return number <= 0xFFFFFFFFU / factor ? std::optional(number * factor) : std::nullopt;
  }
  return std::nullopt;
}

std::expected<std::string, std::string> read_token(const std::string& file) {
  if (file.empty()) {
    const char* value = std::getenv("CURFEW_TOKEN");
    return std::string(value != nullptr ? value : "");
  }
  std::ifstream in(file);
  std::string token;
  errno = 0;
  std::getline(in, token);
  while (token.ends_with('\r') || token.ends_with(' ')) token.pop_back();
  if (!token.empty()) return token;
  const std::string reason = errno != 0 ? std::generic_category().message(errno) : "its first line is empty";
  return wrong("--token-file " + printable(file) + ": " + reason);
}

}  // namespace curfew_program
