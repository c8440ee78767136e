#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "http/message/body_sink.hpp"

namespace curfew::http {

class connection;

/// The body of a response. The thread of the connection alone.
struct response_sink final : body_writer::sink, std::enable_shared_from_this<response_sink> {
  boost::asio::awaitable<result<>> write(context ctx, std::string bytes) override;

  connection* open = nullptr;  ///< Null: the body is over.
  unsigned writing = 0;        ///< Writes under way.
  unsigned written = 0;        ///< Writes in all.
};

}  // namespace curfew::http
