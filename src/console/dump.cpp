#include "console/dump.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "console/choice.hpp"
#include "console/json.hpp"
#include "console/wake_descriptor.hpp"

namespace curfew::inspect {

namespace {

constexpr std::size_t most_tasks = 1000;

/// Never closed: a handler may be about to write to it.
const wake_descriptor& signalled() {
  static const wake_descriptor* const made = new wake_descriptor;
  return *made;
}

std::atomic<int> signalled_fd{-1};  // for the handler; set once, and the first time before it is installed
std::atomic<bool> taken{false};

void on_usr1(int /*signal*/) { wake_descriptor::notify(signalled_fd.load(std::memory_order_relaxed)); }

std::string since(clock::time_point then, clock::time_point now) {
  return in_milliseconds(now - then) + " ms";
}

void append(std::string& to, const task_info& task, clock::time_point now) {
  to += word_of(task.state);
  to += "  " + hex_id(task.id) + "  " + spelled(task.kind) + " \"" + spelled(task.name) + "\", open for " +
        since(task.opened, now) + ", CPU " + in_milliseconds(task.cpu) + " ms";
  if (task.told) {
    to += ", told " + since(task.told->at, now) + " ago: " + spelled(task.told->cause.message()) +
          ", CPU since " + in_milliseconds(task.told->cpu) + " ms";
  }
  if (task.waits) to += ", waits for " + spelled(task.waits->what);
  if (task.thread != 0) to += ", thread " + std::to_string(task.thread);
  to += "\n    ";
  to += task.where.file_name();
  to += ':' + std::to_string(task.where.line()) + "  " + spelled(task.path);
  if (task.parent != 0) to += "  below " + hex_id(task.parent);
  to += '\n';
}

void write_all(std::string_view text) noexcept {
  while (!text.empty()) {
    const auto n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

usr1_descriptor::usr1_descriptor() {
  if (taken.exchange(true)) {
    throw std::system_error(std::make_error_code(std::errc::device_or_resource_busy),
                            "SIGUSR1 is another console's");
  }
  try {
    signalled_fd = signalled().get();
    struct sigaction how{};
    how.sa_handler = on_usr1;
    how.sa_flags = SA_RESTART;
    ::sigemptyset(&how.sa_mask);
    if (::sigaction(SIGUSR1, &how, &before_) != 0) {
      throw std::system_error(errno, std::system_category(), "sigaction");
    }
  } catch (...) {
    taken = false;
    throw;
  }
}

usr1_descriptor::~usr1_descriptor() {
  ::sigaction(SIGUSR1, &before_, nullptr);
  taken = false;
}

int usr1_descriptor::get() const noexcept { return signalled_fd; }

std::string tasks_as_text() {
  choice which;
  which.limit = most_tasks;
  const auto now = clock::now();
  const chosen all = choose(which);
  const totals sums = count();
  std::string text = "curfew: " + std::to_string(all.seen) + " tasks, " + std::to_string(sums.told) +
                     " told to stop, " + std::to_string(sums.zombies) + " zombies, CPU for nobody " +
                     in_milliseconds(sums.cpu_for_nobody) + " ms\n";
  for (const auto& task : all.tasks) append(text, task, now);
  if (all.matching > all.tasks.size()) {
    text += "and " + std::to_string(all.matching - all.tasks.size()) + " more\n";
  }
  return text;
}

void dump_tasks() { write_all(tasks_as_text()); }

void write_error(std::string_view what) noexcept {
  std::fprintf(stderr, "curfew: console: %.*s\n", static_cast<int>(what.size()), what.data());
}

std::string spelled(std::string_view bytes) {
  std::string valid;
  append_utf8(valid, bytes);
  std::string made;
  made.reserve(valid.size());
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    const auto next = i + 1 < valid.size() ? static_cast<unsigned char>(valid[i + 1]) : 0U;
    if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(byte));
      made += code.data();
    } else if (byte == 0xC2 && next < 0xA0) {  // U+0080 to U+009F steer terminals, too
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", next);
      made += code.data();
      ++i;
    } else {
      made += valid[i];
    }
  }
  return made;
}

}  // namespace curfew::inspect
