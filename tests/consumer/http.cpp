#include <curfew/http.hpp>  // alone: it brings what a context is made with
#include <iostream>

int main() {
  auto scope = curfew::with_cancel(curfew::background());
  scope.cancel();
  auto response = curfew::http::get(scope, "http://127.0.0.1:1/");
  if (response) return 1;
  std::cout << "http: " << response.error() << '\n';
  return 0;
}
