#include <curfew/http/router.hpp>

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <stdexcept>

#include "http/message/message_access.hpp"
#include "http/server/router_table.hpp"

namespace curfew::http {
namespace {

namespace asio = boost::asio;
using kind = routing::kind;

asio::awaitable<response> nothing(context /*ctx*/, const request& /*r*/) { co_return response(); }

struct looked_up {
  kind what;
  std::string method;  // of the route found
  std::string allow;
  request asked;
};

looked_up look_up(const router& r, std::string method, std::string target) {
  request asked(std::move(method), std::move(target));
  const auto found = router_access::find(r, asked);
  return {found.what, found.to ? found.to->method : "", found.allow, std::move(asked)};
}

TEST(Router, FindsALiteralPath) {
  router r;
  r.get("/", nothing).get("/a", nothing).get("/a/b", nothing);
  for (const auto* path :
       {"/", "/a", "/a/b", "/a?x=/y", "http://host/a", "HTTP://host:80/a/b?x", "http://host"}) {
    EXPECT_EQ(look_up(r, "GET", path).what, kind::found) << path;
  }
  for (const auto* path : {"/b", "/a/", "/a/b/c", "//", "/a//b", "/A"}) {
    EXPECT_EQ(look_up(r, "GET", path).what, kind::unknown) << path;
  }
}

TEST(Router, NamesWhatStandsInThePath) {
  router r;
  r.get("/packages/{name}/files/{file}", nothing);
  const auto found = look_up(r, "GET", "/packages/vim/files/a.c");
  ASSERT_EQ(found.what, kind::found);
  EXPECT_EQ(found.asked.param("name"), "vim");
  EXPECT_EQ(found.asked.param("file"), "a.c");
  EXPECT_EQ(found.asked.param("other"), "");
  EXPECT_EQ(found.asked.path(), "/packages/vim/files/a.c");
}

TEST(Router, ANameStandsForOneNonEmptySegment) {
  router r;
  r.get("/packages/{name}", nothing);
  EXPECT_EQ(look_up(r, "GET", "/packages/").what, kind::unknown);
  EXPECT_EQ(look_up(r, "GET", "/packages/a/b").what, kind::unknown);
}

TEST(Router, LiteralWinsOverName) {
  router r;
  r.add("A", "/x/{any}", nothing).add("B", "/x/me", nothing);
  r.add("C", "/{any}/me/deep", nothing).add("D", "/x/{any}/deep", nothing);
  EXPECT_EQ(look_up(r, "A", "/x/you").what, kind::found);
  EXPECT_EQ(look_up(r, "B", "/x/me").what, kind::found);
  EXPECT_EQ(look_up(r, "D", "/x/me/deep").what, kind::found);
}

TEST(Router, GoesBackWhereALiteralLeadsNowhere) {
  router r;
  r.get("/x/me/profile", nothing).get("/x/{any}/settings", nothing);
  const auto found = look_up(r, "GET", "/x/me/settings");
  ASSERT_EQ(found.what, kind::found);
  EXPECT_EQ(found.asked.param("any"), "me");
}

TEST(Router, DecodesEachSegmentAfterSplitting) {
  router r;
  r.get("/files/{name}", nothing).get("/\xC3\xA4", nothing);
  const auto slash = look_up(r, "GET", "/files/a%2Fb%20c");
  ASSERT_EQ(slash.what, kind::found);
  EXPECT_EQ(slash.asked.param("name"), "a/b c");
  EXPECT_EQ(slash.asked.path(), "/files/a/b c");
  EXPECT_EQ(look_up(r, "GET", "/%C3%A4").what, kind::found);
  EXPECT_EQ(look_up(r, "GET", "/fi%6ces/x").what, kind::found);
  EXPECT_EQ(look_up(r, "GET", "/files/a+b").asked.param("name"), "a+b");
}

TEST(Router, RefusesMalformedEscapes) {
  router r;
  r.get("/{x}", nothing);
  for (const auto* path : {"/%", "/%2", "/%zz", "/a%0g", "/a%00b"}) {
    EXPECT_EQ(look_up(r, "GET", path).what, kind::bad_path) << path;
  }
}

TEST(Router, DotSegmentsAreSegmentsLikeAnyOther) {
  router r;
  r.get("/a/{x}", nothing).get("/b", nothing);
  EXPECT_EQ(look_up(r, "GET", "/a/..").asked.param("x"), "..");
  EXPECT_EQ(look_up(r, "GET", "/a/../b").what, kind::unknown);
  EXPECT_EQ(look_up(r, "GET", "/a/%2e%2e").asked.param("x"), "..");
}

TEST(Router, TellsWhatMethodsThereAre) {
  router r;
  r.get("/a", nothing).put("/a", nothing).post("/{x}", nothing);
  const auto found = look_up(r, "DELETE", "/a");
  EXPECT_EQ(found.what, kind::no_method);
  EXPECT_EQ(found.allow, "GET, HEAD, OPTIONS, POST, PUT");
  EXPECT_EQ(look_up(r, "POST", "/a").what, kind::found) << "of another pattern that matches";
  EXPECT_EQ(look_up(r, "get", "/a").what, kind::no_method) << "methods have a case";
}

TEST(Router, HeadGoesToTheGetHandler) {
  router r;
  r.get("/a", nothing).post("/b", nothing);
  EXPECT_EQ(look_up(r, "HEAD", "/a").method, "GET");
  EXPECT_EQ(look_up(r, "HEAD", "/b").what, kind::no_method);
  r.add("HEAD", "/a", nothing);
  EXPECT_EQ(look_up(r, "HEAD", "/a").method, "HEAD");
}

TEST(Router, OptionsDescribesUnlessThereIsAHandler) {
  router r;
  r.get("/a", nothing).del("/b", nothing).add("OPTIONS", "/c", nothing);
  EXPECT_EQ(look_up(r, "OPTIONS", "/a").what, kind::describe);
  EXPECT_EQ(look_up(r, "OPTIONS", "/a").allow, "GET, HEAD, OPTIONS");
  EXPECT_EQ(look_up(r, "OPTIONS", "/none").what, kind::unknown);
  EXPECT_EQ(look_up(r, "OPTIONS", "/c").what, kind::found);
  EXPECT_EQ(look_up(r, "OPTIONS", "*").allow, "DELETE, GET, HEAD, OPTIONS");
}

TEST(Router, RefusesMalformedPatterns) {
  for (const auto* pattern : {"", "a", "/{}", "/{a", "/a}", "/a{b}", "/{a}{b}", "/{a}/{a}", "/a?b", "/a#b"}) {
    router r;
    EXPECT_THROW(r.get(pattern, nothing), std::invalid_argument) << pattern;
  }
  router r;
  EXPECT_THROW(r.get("/a", nullptr), std::invalid_argument);
  EXPECT_THROW(r.add("", "/a", nothing), std::invalid_argument);
}

TEST(Router, RefusesASecondRouteForTheSameMethod) {
  router r;
  r.get("/a/{x}", nothing).post("/a/{y}", nothing);
  EXPECT_THROW(r.get("/a/{x}", nothing), std::invalid_argument);
  EXPECT_THROW(r.get("/a/{other}", nothing), std::invalid_argument);
}

TEST(Router, IsAValue) {
  router first;
  first.get("/a", nothing);
  router second = first;
  second.get("/b", nothing);
  EXPECT_EQ(look_up(first, "GET", "/b").what, kind::unknown);
  EXPECT_EQ(look_up(second, "GET", "/a").what, kind::found);
  first = second;
  EXPECT_EQ(look_up(first, "GET", "/b").what, kind::found);
}

TEST(Router, APathOfManySegmentsIsFound) {
  router r;
  std::string pattern;
  std::string path;
  for (int i = 0; i < 20; ++i) {
    pattern += "/{p" + std::to_string(i) + '}';
    path += "/value%20number" + std::to_string(i);
  }
  r.get(pattern, nothing);
  const auto found = look_up(r, "GET", path);
  ASSERT_EQ(found.what, kind::found);
  EXPECT_EQ(found.asked.param("p0"), "value number0");
  EXPECT_EQ(found.asked.param("p19"), "value number19");
}

TEST(Router, KeepsRouteOptions) {
  router r;
  r.get("/endless", nothing, route_options().no_time_limit()).get("/short", nothing);
  request endless("GET", "/endless");
  request brief("GET", "/short");
  EXPECT_FALSE(router_access::find(r, endless).to->options.has_time_limit());
  EXPECT_TRUE(router_access::find(r, brief).to->options.has_time_limit());
}

TEST(Router, ServesFilesBelowAPrefix) {
  const std::array<static_file, 3> files{
      {{"index.html", "text/html", "<p>"}, {"js/app.js", "text/javascript", "1"}, {"{x}", "a/b", "2"}}};
  router r;
  r.files("/ui", files);
  for (const auto* path : {"/ui", "/ui/", "/ui/index.html", "/ui/js/app.js", "/ui/%7Bx%7D"}) {
    EXPECT_EQ(look_up(r, "GET", path).what, kind::found) << path;
  }
  for (const auto* path : {"/", "/ui/js", "/ui/y", "/ui/js/../index.html", "/ui/..%2findex.html"}) {
    EXPECT_EQ(look_up(r, "GET", path).what, kind::unknown) << path;
  }
  router root;
  root.files("/", files);
  EXPECT_EQ(look_up(root, "GET", "/").what, kind::found);
  EXPECT_EQ(look_up(root, "GET", "/js/app.js").what, kind::found);
}

/// What the handler for a request answers, or the router itself where it is wrapped.
response answer_of(const router& r, std::string method, std::string target) {
  request asked(std::move(method), std::move(target));
  const auto found = router_access::find(r, asked);
  asio::io_context io;
  auto got = asio::co_spawn(io, found.to->call(background(), asked), asio::use_future);
  io.run();
  return got.get();
}

asio::awaitable<response> marked(context ctx, const request& r, handler inner, std::string mark) {
  response made = co_await inner(std::move(ctx), r);
  const auto inside = made.fields().find("Mark");
  made.set("Mark", mark + std::string(inside ? *inside : ""));
  co_return made;
}

wrapper mark(std::string text) {
  return [text](handler inner) -> handler {
    return [text, inner](context ctx, const request& r) { return marked(std::move(ctx), r, inner, text); };
  };
}

TEST(RouterAround, WrapsRoutesOfBeforeAndAfterAndTheRoutersOwnAnswers) {
  constexpr std::array files{static_file{"a.js", "text/javascript", "1"}};
  router r;
  r.get("/before", nothing)
      .around(mark("i"))
      .around(mark("o"))
      .post("/after", nothing)
      .files("/files", files);
  struct {
    const char* method;
    const char* target;
    http::status status;
    const char* allow;
  } const cases[] = {{"GET", "/before", status::ok, nullptr},
                     {"POST", "/after", status::ok, nullptr},
                     {"GET", "/files/a.js", status::ok, nullptr},
                     {"GET", "/none", status::not_found, nullptr},
                     {"GET", "/%zz", status::bad_request, nullptr},
                     {"DELETE", "/after", status::method_not_allowed, "OPTIONS, POST"},
                     {"OPTIONS", "/before", status::no_content, "GET, HEAD, OPTIONS"},
                     {"OPTIONS", "*", status::no_content, "GET, HEAD, OPTIONS, POST"}};
  for (const auto& [method, target, expected, allow] : cases) {
    const response got = answer_of(r, method, target);
    EXPECT_EQ(got.status(), expected) << target;
    ASSERT_TRUE(got.fields().contains("Mark")) << target;
    EXPECT_EQ(*got.fields().find("Mark"), "oi") << target;
    const auto allowed = got.fields().find("Allow");
    EXPECT_EQ(allowed ? *allowed : "", allow ? allow : "") << target;
  }
}

TEST(RouterAround, IsPartOfTheRoutersCopies) {
  router r;
  r.around(mark("m"));
  const router copy(r);
  EXPECT_EQ(*answer_of(copy, "GET", "/none").fields().find("Mark"), "m");
}

TEST(Router, MountsTheRoutesOfAnotherBelowAPrefix) {
  router inner;
  inner.get("/", nothing).get("/tasks", nothing).post("/tasks/{id}/cancel", nothing);
  router r;
  r.get("/", nothing).get("/debug/{what}", nothing).mount("/debug/curfew", inner);
  EXPECT_EQ(look_up(r, "GET", "/debug/curfew/").what, kind::found);
  EXPECT_EQ(look_up(r, "GET", "/debug/curfew/tasks").what, kind::found);
  EXPECT_EQ(look_up(r, "GET", "/debug/other").what, kind::found);
  EXPECT_EQ(look_up(r, "GET", "/tasks").what, kind::unknown);
  const auto found = look_up(r, "POST", "/debug/curfew/tasks/7/cancel");
  ASSERT_EQ(found.what, kind::found);
  EXPECT_EQ(found.asked.param("id"), "7");
}

TEST(Router, ThePrefixOfAMountedPageRedirectsToThePage) {
  router inner;
  inner.get("/", nothing);
  router r;
  r.mount("/debug", inner);
  request asked("GET", "/debug");
  const auto found = router_access::find(r, asked);
  ASSERT_EQ(found.what, kind::found);
  asio::io_context loop;
  auto answer = asio::co_spawn(loop, found.to->call(background(), asked), asio::use_future);
  loop.run();
  const auto got = answer.get();
  EXPECT_EQ(got.status(), status::permanent_redirect);
  EXPECT_EQ(got.fields().find("Location"), "/debug/");
  router without_page;
  without_page.get("/x", nothing);
  EXPECT_EQ(look_up(router().mount("/debug", without_page), "GET", "/debug").what, kind::unknown);
}

TEST(Router, WhatIsMountedIsWrappedWhereItWasAndWhereItGoes) {
  const auto refuse = [](status code) {
    return [code](handler) -> handler {
      return [code](context, const request&) -> asio::awaitable<response> { co_return response(code); };
    };
  };
  const auto status_of = [](const router& r, const char* path) {
    request asked("GET", path);
    const auto found = router_access::find(r, asked);
    asio::io_context loop;
    auto answer = asio::co_spawn(loop, found.to->call(background(), asked), asio::use_future);
    loop.run();
    return answer.get().status();
  };
  router inner;
  inner.get("/a", nothing).around(refuse(status::gone));
  router outer;
  outer.get("/b", nothing).mount("/in", inner);
  EXPECT_EQ(status_of(outer, "/in/a"), status::gone);
  EXPECT_EQ(status_of(outer, "/b"), status::ok);
  outer.around(refuse(status::conflict));
  EXPECT_EQ(status_of(outer, "/in/a"), status::conflict);
}

TEST(Router, RefusesAPrefixThatIsNotLiteralOrTaken) {
  router inner;
  inner.get("/a", nothing);
  router r;
  r.get("/in/a", nothing);
  EXPECT_THROW(r.mount("in", inner), std::invalid_argument);
  EXPECT_THROW(r.mount("/{x}", inner), std::invalid_argument);
  EXPECT_THROW(r.mount("/in", inner), std::invalid_argument);
  r.mount("/", inner).mount("/again", r);
  EXPECT_EQ(look_up(r, "GET", "/again/in/a").what, kind::found);
}

}  // namespace
}  // namespace curfew::http
