#pragma once

#include <boost/asio/awaitable.hpp>
#include <curfew/http/message.hpp>
#include <string>

namespace curfew::http {

/// What the writers of one body write to; they share it, and it outlives the body where they do.
struct body_writer::sink {
  sink() = default;
  sink(const sink&) = delete;
  sink& operator=(const sink&) = delete;
  virtual ~sink() = default;

  /// As body_writer::async_write. It may outlive the writer.
  virtual boost::asio::awaitable<result<>> write(context ctx, std::string bytes) = 0;
};

}  // namespace curfew::http
