#include <clocale>
#include <csignal>
#include <cstddef>
#include <curfew/io/run.hpp>
#include <exception>
#include <iostream>
#include <span>
#include <utility>
#include <variant>

#include "commands.hpp"
#include "options.hpp"
#include "output.hpp"
#include "top.hpp"

namespace {

using namespace curfew_program;  // NOLINT(google-build-using-namespace): the program's own

template <class Options>
int run_with(boost::asio::awaitable<int> (*command)(curfew::context, Options), Options options) {
  const auto main = [&](curfew::context ctx) { return command(std::move(ctx), std::move(options)); };
  return curfew::run(main);
}

struct run_command {
  int operator()(show_help help) const {
    std::cout << help.text;
    return 0;
  }
  int operator()(show_version) const {
    std::cout << "curfew " << version() << '\n';
    return 0;
  }
  int operator()(top_options options) const { return run_with(run_top, std::move(options)); }
  int operator()(ls_options options) const { return run_with(run_ls, std::move(options)); }
  int operator()(show_options options) const { return run_with(run_show, std::move(options)); }
  int operator()(cancel_options options) const { return run_with(run_cancel, std::move(options)); }
};

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  // A write to a closed pipe fails, and sends no signal.
  std::signal(SIGPIPE, SIG_IGN);
  auto parsed = parse_options(
      std::span<const char* const>(argv, static_cast<std::size_t>(argc)).subspan(argc > 0 ? 1 : 0));
  if (!parsed) {
    complain(parsed.error());
    return 2;
  }
  try {
    return std::visit(run_command(), *std::move(parsed));
  } catch (const std::exception& e) {
    complain(e.what());
    return 1;
  }
}
