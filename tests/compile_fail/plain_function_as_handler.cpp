// A plain function may block, and a handler must not: it becomes one with http::blocking.
// expect: no matching function|could not convert|no viable conversion|cannot convert
#include <curfew/http.hpp>

namespace http = curfew::http;

namespace {

http::response hello(const curfew::context&, const http::request&) {
  return http::text(http::status::ok, "hello");
}

}  // namespace

int main() {
  http::router routes;
#ifdef CURFEW_MUST_FAIL
  routes.get("/", hello);
#else
  routes.get("/", http::blocking(hello));
#endif
}
