#include "base/panel_lines.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

namespace curfew_dashboard {

namespace {

std::string to_line(const json::object& object) { return json::serialize(object) + '\n'; }

}  // namespace

std::string progress_line(const progress& p) {
  json::object line;
  line["type"] = "progress";
  line["fraction"] = p.fraction ? json::value(std::round(std::clamp(*p.fraction, 0.0, 1.0) * 1000) / 1000)
                                : json::value(nullptr);
  line["text"] = p.text;
  for (const auto& field : p.more) line[field.key()] = field.value();
  return to_line(line);
}

std::string result_line(json::value data) {
  json::object line;
  line["type"] = "result";
  line["data"] = std::move(data);
  return to_line(line);
}

std::string error_line(const failure& why) {
  json::object line;
  line["type"] = "error";
  line["code"] = why.code;
  line["message"] = why.message;
  return to_line(line);
}

std::optional<line_kind> classify_line(std::string_view line) {
  boost::system::error_code failed;
  const json::value parsed = json::parse(line, failed);
  if (failed || !parsed.is_object()) return std::nullopt;
  const json::object& object = parsed.get_object();
  const json::value* type = object.if_contains("type");
  if (type == nullptr || !type->is_string()) return std::nullopt;
  const auto has_string = [&](std::string_view key) {
    const json::value* field = object.if_contains(key);
    return field != nullptr && field->is_string();
  };
  const json::string& name = type->get_string();
  if (name == "progress" && has_string("text")) return line_kind::progress;
  if (name == "result" && object.contains("data")) return line_kind::result;
  if (name == "error" && has_string("code") && has_string("message")) return line_kind::error;
  return std::nullopt;
}

std::optional<std::string> line_splitter::next() {
  const auto end = buffer_.find('\n', begin_);
  if (end == std::string::npos) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    return std::nullopt;
  }
  std::string line = buffer_.substr(begin_, end - begin_);
  begin_ = end + 1;
  return line;
}

}  // namespace curfew_dashboard
