#include "workers/disk_workers.hpp"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <curfew/http/errc.hpp>
#include <fstream>
#include <utility>

namespace curfew_dashboard {

namespace {

namespace remote = curfew::remote;

std::optional<json::object> read_object(std::string_view text) {
  boost::system::error_code failed;
  json::value parsed = json::parse(text, failed);
  if (failed || !parsed.is_object()) return std::nullopt;
  return std::move(parsed).as_object();
}

std::string take_text(const json::object& object, std::string_view key) {
  return std::string(object.at(key).as_string());
}

remote::hub_options sharing() {
  // Why a request ended is the server's to say, on the workers, too.
  return remote::hub_options().lease(worker_lease).category(&curfew::http::http_category());
}

}  // namespace

std::optional<progress> read_progress_line(std::string_view line) {
  if (classify_line(line) != line_kind::progress) return std::nullopt;
  json::object object = *read_object(line);
  progress made;
  made.text = take_text(object, "text");
  boost::system::error_code none;
  if (const json::value* fraction = object.if_contains("fraction"); fraction != nullptr) {
    const auto number = fraction->to_number<double>(none);
    if (!none) made.fraction = number;
  }
  for (const char* key : {"type", "text", "fraction"}) object.erase(key);
  made.more = std::move(object);
  return made;
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

disk_workers::disk_workers(const std::string& url)
    : client(url),
      hub(client, sharing()),
      jobs(hub, "dashboard-disk", remote::queue_options().job_lease(worker_lease)) {}

}  // namespace curfew_dashboard

namespace curfew::remote {

using namespace curfew_dashboard;  // NOLINT(google-build-using-namespace): whose types these are

std::string codec<disk_job>::write(const disk_job& job) {
  return job.root + '\0' + job.parent + '\0' + job.target + '\0' + job.channel;
}

std::optional<disk_job> codec<disk_job>::read(std::string_view text) {
  if (std::ranges::count(text, '\0') != 3) return std::nullopt;
  std::array<std::string, 4> fields;
  for (std::string& field : fields) {
    field = text.substr(0, text.find('\0'));
    text.remove_prefix(std::min(field.size() + 1, text.size()));
  }
  auto& [root, parent, target, channel] = fields;
  return disk_job{std::move(root), std::move(parent), std::move(target), std::move(channel)};
}

std::string codec<disk_answer>::write(const disk_answer& answer) {
  return answer.report ? result_line(*answer.report) : error_line(answer.report.error());
}

std::optional<disk_answer> codec<disk_answer>::read(std::string_view text) {
  const auto kind = classify_line(text);
  if (kind != line_kind::result && kind != line_kind::error) return std::nullopt;
  json::object line = *read_object(text);
  if (kind == line_kind::result) return disk_answer{std::move(line.at("data"))};
  return disk_answer{std::unexpected(failure{take_text(line, "code"), take_text(line, "message")})};
}

}  // namespace curfew::remote
