#include "http/client/request_head.hpp"

#include <gtest/gtest.h>

#include <curfew/core.hpp>
#include <string>
#include <utility>

#include "http/client/transfer.hpp"

namespace curfew::http {
namespace {

TEST(RequestHead, TakesNoMemoryForALargeBody) {
  request what("PUT", "http://localhost/");
  what.body(std::string(1024 * 1024, 'x'));
  const auto target = call_target::make(background(), std::move(what), {});
  ASSERT_TRUE(target) << target.error();
  std::string head;
  append_request_head(head, *target, {});
  EXPECT_TRUE(head.ends_with("Content-Length: 1048576\r\n\r\n")) << head;
  EXPECT_LT(head.capacity(), 4096U);
}

}  // namespace
}  // namespace curfew::http
