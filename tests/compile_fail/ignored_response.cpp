// A request whose result nobody looks at has failed unnoticed.
// expect: nodiscard
#include <curfew/http.hpp>

int main(int argc, char**) {
  if (argc > 0) return 0;
  auto scope = curfew::with_cancel(curfew::background());
#ifdef CURFEW_MUST_FAIL
  curfew::http::get(scope, "http://127.0.0.1:1/");
#else
  if (!curfew::http::get(scope, "http://127.0.0.1:1/")) return 1;
#endif
}
