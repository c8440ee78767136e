#include "inspect/ask_thread.hpp"

#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <system_error>
#include <thread>

// The question lies in a static object, with a number. The signal carries the number, and the handler takes the question
// only while it has that number: a thread that answers late, after the asker has given up, finds another one.
//
//   asked ──the handler──► being answered ──the handler──► answered
//     └──the asker: too late──► withdrawn
//
// Unwinding takes no lock and no memory: glibc finds the tables of an address without (_dl_find_object).

namespace curfew::inspect {

namespace {

using namespace std::chrono_literals;

constexpr auto patience = 1s;  // a machine may be busy

class question {
 public:
  static constexpr std::size_t most = 128;

  /// \return its number.
  int ask(task_ref at) noexcept {
    about_ = at;
    count_ = 0;
    was_there_ = false;
    const int number = ++last_;
    state_.store(as(number, asked), std::memory_order_release);  // pairs: answer()
    return number;
  }
  [[nodiscard]] bool is_answered(int number) const noexcept {
    return state_.load(std::memory_order_acquire) == as(number, answered);  // pairs: answer()
  }
  /// \return false: it is being answered, or has been.
  [[nodiscard]] bool withdraw(int number) noexcept {
    auto seen = as(number, asked);
    return state_.compare_exchange_strong(seen, as(number, withdrawn), std::memory_order_relaxed);
  }
  [[nodiscard]] bool was_there() const noexcept { return was_there_; }
  [[nodiscard]] std::vector<std::uintptr_t> addresses() const {
    return {addresses_.begin(), addresses_.begin() + static_cast<std::ptrdiff_t>(count_)};
  }

  /// In the handler.
  void answer(int number) noexcept {
    auto seen = as(number, asked);
    if (!state_.compare_exchange_strong(seen, as(number, being_answered), std::memory_order_acquire)) return;
    was_there_ = detail::current_task == about_;
    if (was_there_) _Unwind_Backtrace(&see, this);
    state_.store(as(number, answered), std::memory_order_release);
  }

 private:
  enum stage : std::uint64_t { withdrawn, asked, being_answered, answered };
  static constexpr std::uint64_t as(int number, stage s) noexcept {
    return static_cast<std::uint64_t>(number) << 2U | s;
  }

  static _Unwind_Reason_Code see(_Unwind_Context* frame, void* self) noexcept {
    auto& q = *static_cast<question*>(self);
    int interrupted = 0;
    const auto address = static_cast<std::uintptr_t>(_Unwind_GetIPInfo(frame, &interrupted));
    // The frames of the handler come first; the one that it interrupted is where the thread is.
    if (interrupted != 0) q.count_ = 0;
    if (address == 0) return _URC_END_OF_STACK;
    if (q.count_ == most) return _URC_END_OF_STACK;
    // That of a caller is behind the call, which may be the last instruction of its function.
    q.addresses_[q.count_++] = interrupted != 0 ? address : address - 1;
    return _URC_NO_REASON;
  }

  std::atomic<std::uint64_t> state_{as(0, withdrawn)};
  int last_ = 0;  // of the asker alone
  // Of the asker, but while it is being answered.
  task_ref about_;
  bool was_there_ = false;
  std::size_t count_ = 0;
  std::array<std::uintptr_t, most> addresses_{};
};

constinit question the_question;

void handle(int /*signal*/, siginfo_t* info, void* /*context*/) noexcept {
  const int before = errno;
  if (info->si_pid == ::getpid()) the_question.answer(info->si_value.sival_int);
  errno = before;
}

/// The signal that is used, 0: there is no free one.
int take_signal() noexcept {
  for (int s = SIGRTMAX; s >= SIGRTMIN; --s) {
    struct sigaction now{};
    if (::sigaction(s, nullptr, &now) != 0) continue;
    if ((now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) continue;
    struct sigaction ours{};
    ours.sa_sigaction = &handle;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    ::sigfillset(&ours.sa_mask);
    if (::sigaction(s, &ours, nullptr) == 0) return s;
  }
  return 0;
}

/// \return an errno.
int send(int thread, int signal, int number) noexcept {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = ::getpid();
  info.si_uid = ::getuid();
  info.si_value.sival_int = number;
  return ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread, signal, &info) == 0 ? 0 : errno;
}

}  // namespace

std::expected<std::vector<std::uintptr_t>, std::string> ask_thread(int thread, task_ref at) {
  static const int signal = take_signal();
  if (signal == 0) return std::unexpected("the program uses all real-time signals");
  const int number = the_question.ask(at);
  if (const int failed = send(thread, signal, number); failed != 0) {
    std::ignore = the_question.withdraw(number);
    if (failed == ESRCH) return std::unexpected("the thread has ended");
    return std::unexpected("no signal can be sent: " + std::generic_category().message(failed));
  }
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!the_question.is_answered(number)) {
    // What is being answered comes to its end.
    if (std::chrono::steady_clock::now() > until && the_question.withdraw(number)) {
      return std::unexpected("it does not answer: it blocks signal " + std::to_string(signal) +
                             ", or the kernel does not let go of it");
    }
    std::this_thread::sleep_for(100us);
  }
  if (!the_question.was_there()) return std::unexpected("it has gone on to something else");
  return the_question.addresses();
}

}  // namespace curfew::inspect
