// A request with a time limit, in plain blocking code.
//
//     minimal_timeout http://127.0.0.1:8080/

#include <chrono>
#include <curfew/core.hpp>
#include <curfew/http.hpp>
#include <iostream>

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: minimal_timeout <url>\n";
    return 2;
  }
  auto scope = curfew::with_timeout(curfew::background(), 5s);  // cancels when it leaves
  auto response = curfew::http::get(scope, argv[1]);
  if (!response) {
    std::cerr << "request failed: " << response.error() << '\n';  // names the URL, the phase and the reason
    return 1;
  }
  std::cout << "Status: " << response->status() << '\n';
}
