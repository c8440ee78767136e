#include "http/fake_resolver.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <string_view>

#include "http/client_peer.hpp"

namespace curfew::http::client_tests {

namespace {

struct stuck_lookups {
  std::mutex mutex;
  std::condition_variable changed;
  int count = 0;          // guarded by mutex
  bool released = false;  // guarded by mutex; of those that hang now

  static stuck_lookups& get() {
    static auto* one = new stuck_lookups;  // a lookup thread may outlive main
    return *one;
  }
};

}  // namespace

bool wait_for_stuck_lookup() {
  stuck_lookups& s = stuck_lookups::get();
  std::unique_lock lock(s.mutex);
  return s.changed.wait_for(lock, patience, [&] { return s.count > 0; });
}

void release_stuck_lookups() {
  stuck_lookups& s = stuck_lookups::get();
  std::unique_lock lock(s.mutex);
  s.released = true;
  s.changed.notify_all();
  s.changed.wait(lock, [&] { return s.count == 0; });
  s.released = false;
}

}  // namespace curfew::http::client_tests

extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service,
                                                                  const addrinfo* hints, addrinfo** out) {
  using curfew::http::client_tests::stuck_lookups;
  const std::string_view host = name != nullptr ? name : "";
  if (host == "stuck.test") {
    stuck_lookups& s = stuck_lookups::get();
    std::unique_lock lock(s.mutex);
    ++s.count;
    s.changed.notify_all();
    s.changed.wait(lock, [&] { return s.released; });
    --s.count;
    s.changed.notify_all();
    return EAI_AGAIN;
  }
  if (host == "missing.test") return EAI_NONAME;
  static const auto next = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (host == "two.test") {
    const int failed = next("127.0.0.2", service, hints, out);
    return failed != 0 ? failed : next("127.0.0.1", service, hints, &(*out)->ai_next);
  }
  return next(host == "peer.test" ? "127.0.0.1" : name, service, hints, out);
}
