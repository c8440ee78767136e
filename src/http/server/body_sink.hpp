#pragma once

#include <curfew/http/message.hpp>

namespace curfew::http {

class connection;

/// What the writers of one body write to; they share it, and it outlives the body where they do. The thread of the
/// connection alone.
struct body_writer::sink {
  connection* open = nullptr;  ///< Null: the body is over.
  unsigned writing = 0;        ///< Writes under way.
};

}  // namespace curfew::http
