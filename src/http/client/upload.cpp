#include "http/client/upload.hpp"

#include "http/client/file_upload.hpp"
#include "http/client/source_upload.hpp"
#include "http/message/message_access.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

result<std::shared_ptr<upload>> upload::open(const request& what, const context& ctx,
                                             const boost::asio::any_io_executor& runs_source) {
  const auto& body = request_access::streamed(what);
  if (!body->source) return file_upload::open(body->path, body->offset, body->length);
  const auto text = what.fields().find("Content-Length");
  const auto length = text ? parse_number<std::uint64_t>(*text) : std::nullopt;  // call_target has checked it
  return std::shared_ptr<upload>(source_upload::make(body, ctx, runs_source, length));
}

}  // namespace curfew::http
