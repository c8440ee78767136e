#include <cstdio>
#include <curfew/inspect/inspection.hpp>
#include <exception>
#include <mutex>
#include <utility>

#include "inspect/detector.hpp"
#include "inspect/hooks.hpp"
#include "inspect/ticks.hpp"

namespace curfew::inspect {

namespace {

struct inspections {
  std::mutex mutex;
  // Guarded by mutex.
  unsigned living = 0;
  bool has_leader = false;
  inspection_options how;  // the leader's, or as by default
};

inspections& all() {
  static auto* const only = new inspections;  // never destroyed: the last one may be a static object
  return *only;
}

void begin(inspections& in) {
  detector::start(in.how);
  tell_spans_to(in.how.on_span() ? &in.how.on_span() : nullptr);
}

void end() noexcept {
  tell_spans_to(nullptr);
  detector::stop();
}

}  // namespace

inspection::inspection(const inspection_options& how) {
  inspections& in = all();
  const std::lock_guard guard(in.mutex);
  leads_ = !in.has_leader;
  if (leads_) {
    calibrate();
    if (in.living != 0) end();
    in.how = how;
    begin(in);
    in.has_leader = true;
  }
  ++in.living;
  install_hooks();
  record_from_now_on(true);
}

inspection::~inspection() {
  inspections& in = all();
  const std::lock_guard guard(in.mutex);
  --in.living;
  if (in.living == 0) record_from_now_on(false);
  if (!leads_) {
    if (in.living == 0) end();
    return;
  }
  end();
  in.has_leader = false;
  in.how = {};
  if (in.living == 0) return;
  try {
    begin(in);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "curfew: from now on tasks that go on after their end are not found: %s\n",
                 e.what());
  }
}

}  // namespace curfew::inspect
