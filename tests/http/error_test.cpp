#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/system/error_code.hpp>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <string_view>

namespace {

TEST(Error, ComparesWithTheCodesOfBeast) {
  boost::beast::http::request_parser<boost::beast::http::empty_body> parser;
  boost::system::error_code failed;
  constexpr std::string_view text = "GET / HTTP/9.9\r\n\r\n";
  parser.put(boost::asio::buffer(text), failed);
  const curfew::error e(failed, "parsing");
  EXPECT_TRUE(e == boost::beast::http::error::bad_version) << e;
  EXPECT_FALSE(e == boost::beast::http::error::bad_method);
  EXPECT_FALSE(e == curfew::http::errc::truncated_body);
}

}  // namespace
