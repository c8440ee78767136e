#pragma once

#include <boost/asio/io_context.hpp>
#include <curfew/http/body_reader.hpp>
#include <mutex>

namespace curfew::http {

class connection;

/// What the readers of one request's body read from; they share it, and it outlives the exchange where they do.
///
///     open ──close(): the response is complete, or what makes it has returned──► closed
///
/// Race: a thread reads while the exchange ends. It posts the read under the mutex while `io` is there, so the loop still
/// runs then; the read itself finds `open` null.
struct body_reader::source {
  source(connection& from, boost::asio::io_context& its) : open(&from), io(&its) {}

  void close() {
    open = nullptr;
    const std::lock_guard guard(mutex);
    io = nullptr;
  }

  // The thread of the connection alone.
  connection* open;      ///< Null: closed.
  bool reading = false;  ///< A read is under way.
  unsigned reads = 0;    ///< In all.

  std::mutex mutex;
  boost::asio::io_context* io;  ///< Of the connection; null: closed. Under mutex.
};

}  // namespace curfew::http
