#include "http/client/upload.hpp"

#include <charconv>

#include "http/client/file_upload.hpp"
#include "http/client/source_upload.hpp"
#include "http/message/message_access.hpp"

namespace curfew::http {

result<std::shared_ptr<upload>> upload::open(const request& what, const context& ctx,
                                             const boost::asio::any_io_executor& runs_source) {
  const auto& body = request_access::streamed(what);
  if (!body->source) return file_upload::open(body->path, body->offset, body->length);
  std::optional<std::uint64_t> length;
  if (const auto text = what.fields().find("Content-Length")) {
    std::from_chars(text->data(), text->data() + text->size(),
                    length.emplace());  // call_target has checked it
  }
  return std::shared_ptr<upload>(source_upload::make(body, ctx, runs_source, length));
}

}  // namespace curfew::http
