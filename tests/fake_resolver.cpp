#include "fake_resolver.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "program.hpp"

/// The sanitizers' own, which hides from them what the C library does within.
extern "C" __attribute__((weak)) decltype(getaddrinfo) __interceptor_getaddrinfo;

namespace curfew::tests {

namespace {

struct all_lookups {
  std::mutex mutex;
  std::condition_variable changed;
  int stuck = 0;                     // guarded by mutex
  bool released = false;             // guarded by mutex; of those that hang now
  std::map<std::string, int> count;  // guarded by mutex

  static all_lookups& get() {
    static auto* one = new all_lookups;  // a lookup thread may outlive main
    return *one;
  }

  void hang() {
    std::unique_lock lock(mutex);
    ++stuck;
    changed.notify_all();
    changed.wait(lock, [&] { return released; });
    --stuck;
    changed.notify_all();
  }
};

/// The addresses, in this order.
int answer(const std::vector<const char*>& addresses, const char* service, const addrinfo* hints,
           addrinfo** out) {
  static const auto next = __interceptor_getaddrinfo != nullptr
                               ? &__interceptor_getaddrinfo
                               : reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  for (const char* each : addresses) {
    if (const int failed = next(each, service, hints, out); failed != 0) return failed;
    out = &(*out)->ai_next;
  }
  return 0;
}

}  // namespace

bool wait_for_stuck_lookup(int count) {
  all_lookups& all = all_lookups::get();
  std::unique_lock lock(all.mutex);
  return all.changed.wait_for(lock, program_patience, [&] { return all.stuck >= count; });
}

void release_stuck_lookups() {
  all_lookups& all = all_lookups::get();
  std::unique_lock lock(all.mutex);
  all.released = true;
  all.changed.notify_all();
  all.changed.wait(lock, [&] { return all.stuck == 0; });
  all.released = false;
}

int lookups_of(const std::string& name) {
  all_lookups& all = all_lookups::get();
  const std::lock_guard guard(all.mutex);
  return all.count[name];
}

}  // namespace curfew::tests

extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service,
                                                                  const addrinfo* hints, addrinfo** out) {
  using namespace curfew::tests;
  if (name == nullptr) return answer({name}, service, hints, out);
  const std::string_view host = name;
  int nth = 0;
  {
    all_lookups& all = all_lookups::get();
    const std::lock_guard guard(all.mutex);
    nth = ++all.count[name];
  }
  if (host.ends_with(".test")) {
    if (host.starts_with("stuck") || host.starts_with("held")) all_lookups::get().hang();
    if (host.starts_with("stuck")) return EAI_AGAIN;
    if (host.starts_with("held") || host.starts_with("peer"))
      return answer({"127.0.0.1"}, service, hints, out);
    if (host == "missing.test") return EAI_NONAME;
    if (host == "two.test") return answer({"127.0.0.2", "127.0.0.1"}, service, hints, out);
    addrinfo literal{};
    literal.ai_flags = AI_NUMERICHOST;  // whatever addresses the machine has itself
    literal.ai_socktype = SOCK_STREAM;
    if (host.starts_with("rebinds"))
      return answer({nth == 1 ? "8.8.8.8" : "127.0.0.1"}, service, &literal, out);
    if (host == "mixed.test") {
      return answer({"fd00::1", "fd00::2", "fd00::1", "fd00::3", "127.0.0.1", "127.0.0.2"}, service, &literal,
                    out);
    }
    if (host == "many.test") {
      std::vector<std::string> texts;
      std::vector<const char*> addresses;
      for (int i = 1; i <= 40; ++i) texts.push_back("127.0.0." + std::to_string(i));
      for (const std::string& each : texts) addresses.push_back(each.c_str());
      return answer(addresses, service, hints, out);
    }
    if (host == "broken.test") {
      errno = EMFILE;
      return EAI_SYSTEM;
    }
  }
  return answer({name}, service, hints, out);
}
