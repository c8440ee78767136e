#include "front/request_tree.hpp"

#include <array>
#include <boost/json/array.hpp>
#include <map>
#include <string_view>
#include <utility>

namespace curfew_dashboard {

namespace {

constexpr std::array whole_counters{"started",           "answered",          "failed", "ended_by_client",
                                    "ended_by_deadline", "ended_by_shutdown", "living", "ignored"};
constexpr std::array cpu_counters{"cpu_s", "cpu_s_unwanted"};

const json::array& requests_of(const json::object& snapshot) {
  static const json::array none;
  const json::value* list = snapshot.if_contains("requests");
  return list != nullptr && list->is_array() ? list->get_array() : none;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* field = object.if_contains(key);
  return field != nullptr && field->is_string() ? std::string(field->get_string()) : std::string();
}

/// A number of any of JSON's three kinds.
double number_of(const json::object& object, std::string_view key) {
  const json::value* field = object.if_contains(key);
  boost::system::error_code failed;
  const double number = field != nullptr ? field->to_number<double>(failed) : 0;
  return failed ? 0 : number;
}

json::object sum_counters(const std::vector<service_view>& services) {
  std::map<std::string_view, double> sums;
  for (const service_view& view : services) {
    const json::value* counters = view.snapshot ? view.snapshot->if_contains("counters") : nullptr;
    if (counters == nullptr || !counters->is_object()) continue;
    for (const char* name : whole_counters) sums[name] += number_of(counters->get_object(), name);
    for (const char* name : cpu_counters) sums[name] += number_of(counters->get_object(), name);
  }
  json::object totals;
  for (const char* name : whole_counters) totals[name] = static_cast<std::uint64_t>(sums[name]);
  for (const char* name : cpu_counters) totals[name] = sums[name];
  return totals;
}

}  // namespace

json::object merge_requests(json::object front, const std::vector<service_view>& services) {
  std::map<std::string, json::array> children;  // by the id of the front's request
  bool ignoring = false;
  json::array views;
  for (const service_view& view : services) {
    if (!view.snapshot) {
      json::object shown;
      shown["service"] = view.service;
      set_text(shown, "error", view.snapshot.error());
      views.push_back(std::move(shown));
      continue;
    }
    const json::value* on = view.snapshot->if_contains("ignoring");
    ignoring = ignoring || (on != nullptr && on->is_bool() && on->get_bool());
    for (const json::value& request : requests_of(*view.snapshot)) {
      if (request.is_object()) children[text_of(request.get_object(), "parent")].push_back(request);
    }
    views.push_back(*view.snapshot);
  }

  json::array tree;
  for (const json::value& request : requests_of(front)) {
    json::object node = request.as_object();
    json::array below;
    if (const auto found = children.find(text_of(node, "id")); found != children.end()) {
      below = std::move(found->second);
      children.erase(found);
    }
    node["children"] = std::move(below);
    tree.push_back(std::move(node));
  }
  json::array orphans;
  for (auto& [parent, requests] : children) {
    for (json::value& request : requests) orphans.push_back(std::move(request));
  }

  json::object merged;
  merged["front"] = std::move(front);
  merged["services"] = std::move(views);
  merged["tree"] = std::move(tree);
  merged["orphans"] = std::move(orphans);
  merged["totals"] = sum_counters(services);
  merged["ignoring"] = ignoring;
  return merged;
}

}  // namespace curfew_dashboard
