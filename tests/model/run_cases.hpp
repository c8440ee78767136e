#pragma once

#include <span>
#include <string_view>

namespace curfew::model {

/// A race of a few threads, and the bounds within which it is run in every schedule.
struct model_case {
  std::string_view name;
  void (*body)();
  unsigned preemptions;
  unsigned stale_reads;
};

/// The main function of a program of cases:
///
///   <program> [--case <part of a name>] [--preemptions <n>] [--stale-reads <n>] [--executions <n>] [--seed <n>]
///             [--expect-failure] [--trace]
///
/// Prints for each case how many executions it took, and whether its space was exhausted. With --seed, decisions
/// are made at random. With --expect-failure, for sources with a planted bug, it succeeds if a case fails. The
/// trace of a failure is then printed with --trace alone.
int run_cases(std::string_view program, int argc, char** argv, std::span<const model_case> cases);

}  // namespace curfew::model
