#pragma once

#include <system_error>

namespace curfew::remote {

/// Why a context that crosses machines ended, and why one could not be shared or joined. The end of a context is reported as
/// `curfew::errc`, with one of the first as its cause where the origin did not end by itself.
enum class errc {
  // Causes.
  origin_lost = 1,  ///< Of a joined context: the process that shares it has not renewed its lease.
  lease_lost,       ///< Of a shared context: the process was stopped, or cut off, for longer than its lease.
  hub_lost,         ///< Of a joined context: Redis has not answered for longer than the lease.
  origin_ended,     ///< Of a joined context: the origin has ended, but the message that says why was lost.
  out_of_time,      ///< Of a joined context: the longest time that the hub allows is over.
  taken_over,  ///< Of a job's context: the worker was silent for longer than the job's lease, and another one has the job.
  // Why a call failed.
  bad_ticket,   ///< Not a ticket, or its signature is wrong.
  too_many,     ///< The hub shares, or has joined, as many contexts as its options allow. Transient.
  too_large,    ///< The values do not fit into a ticket.
  queue_full,   ///< As many jobs are in the queue as its options allow. Transient.
  job_failed,   ///< The worker's function has returned an error; error::doing() has its text.
  gave_up,      ///< The job was begun as often as the queue's options allow, and never ended.
  bad_message,  ///< A job or its answer is not of the queue's type.
};

/// The category of `remote::errc`; its name is "curfew.remote".
[[nodiscard]] const std::error_category& remote_category() noexcept;

[[nodiscard]] std::error_code make_error_code(errc code) noexcept;

}  // namespace curfew::remote

template <>
struct std::is_error_code_enum<curfew::remote::errc> : std::true_type {};
