#pragma once

#include <curfew/http/message.hpp>

namespace curfew::http {

/// What a body_writer writes to.
struct body_writer::sink {
  virtual ~sink() = default;
  virtual boost::asio::awaitable<result<>> write(context ctx, std::string bytes) = 0;
};

}  // namespace curfew::http
