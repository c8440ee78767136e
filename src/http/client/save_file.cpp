#include <curfew/http/save_file.hpp>
#include <utility>

#include "http/client/file_saver.hpp"

namespace curfew::http {

result<saved_file> save_file(const context& ctx, client& by, request what, std::string path,
                             save_options options) {
  auto saver = file_saver::open(std::move(what), std::move(path), std::move(options));
  if (!saver) return saver.error();
  for (;;) {
    auto got = by.open(ctx, saver->to_send());
    if (!got) return got.error();
    const auto next = saver->on_head(got->head());
    if (!next) return next.error();
    if (*next == file_saver::next::again) continue;
    while (*next == file_saver::next::body) {
      const auto piece = got->read(ctx);
      if (!piece) return piece.error();
      if (!*piece) break;
      if (auto written = saver->write(**piece); !written) return written.error();
    }
    return saver->finish();
  }
}

boost::asio::awaitable<result<saved_file>> async_save_file(context ctx, client& by, request what,
                                                           std::string path, save_options options) {
  auto saver = file_saver::open(std::move(what), std::move(path), std::move(options));
  if (!saver) co_return saver.error();
  for (;;) {
    auto opening = by.async_open(ctx, saver->to_send());
    auto got = co_await std::move(opening);
    if (!got) co_return got.error();
    const auto next = saver->on_head(got->head());
    if (!next) co_return next.error();
    if (*next == file_saver::next::again) continue;
    while (*next == file_saver::next::body) {
      auto reading = got->async_read(ctx);
      const auto piece = co_await std::move(reading);
      if (!piece) co_return piece.error();
      if (!*piece) break;
      if (auto written = saver->write(**piece); !written) co_return written.error();
    }
    co_return saver->finish();
  }
}

}  // namespace curfew::http
