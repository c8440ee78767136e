#include "services/packages/packages.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "base/throttle.hpp"

namespace curfew_dashboard {

namespace {

constexpr std::size_t shown = 20;
constexpr std::size_t longest_query = 200;

/// How many edges of the graph are followed for "what would be freed": some seconds. On a machine with many
/// packages the question is asked for the heaviest only.
constexpr std::int64_t edges_to_follow = 8'000'000;

/// A set of packages.
struct package_set {
  std::int64_t count = 0;
  std::int64_t bytes = 0;
};

struct weighed_package {
  std::int64_t id = 0;
  package_set closure;
  std::optional<package_set> freed;
};

/// A LIKE pattern for texts that contain `query`.
std::string like_pattern(const std::string& query) {
  std::string pattern = "%";
  for (const char c : query) {
    if (c == '%' || c == '_' || c == '\\') pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern + '%';
}

/// Why there is no report.
failure failure_of(const curfew::context& ctx, const sql::error& why) {
  if (ctx.err()) return ended_failure(ctx);
  return {why.transient() ? "unavailable" : "internal",
          to_utf8("The database of packages: " + why.message()).text};
}

/// One report, from one state of the database. Every method that runs a statement returns false where the report ends.
class report_maker {
 public:
  report_maker(const curfew::context& ctx, sql::transaction from, const report_progress& tell)
      : ctx_(ctx),
        from_(std::move(from)),
        tell_(tell) {}

  std::expected<json::value, failure> make(const std::string& query) {
    const auto began = std::chrono::steady_clock::now();
    if (!(search(query) && count() && sections() && closures() && freed() && list_heaviest() &&
          list_freeing())) {
      return std::unexpected(std::move(why_));
    }
    report_["elapsed_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began)
            .count();
    return std::move(report_);
  }

 private:
  /// Calls `use` with the columns of each row of the statement.
  template <class... Columns, class Use, class... Values>
  bool each(Use use, sql::text what, const Values&... values) {
    const auto found = from_.query(ctx_, what, values...);
    if (!found) {
      why_ = failure_of(ctx_, found.error());
      return false;
    }
    for (auto&& columns : found->template as<Columns...>()) std::apply(use, std::move(columns));
    return true;
  }

  bool search(const std::string& query) {
    report_["query"] = query;
    json::array found;
    std::int64_t total = 0;
    if (!query.empty()) {
      tell({0.0, "Searching for " + query, {}});
      const auto take = [&](std::string_view name, std::string_view version, std::string_view section,
                            std::int64_t size, std::string_view description, std::int64_t all) {
        json::object package = named(name, version, section);
        package["size_bytes"] = size;
        package["description"] = description;
        total = all;
        found.push_back(std::move(package));
      };
      const bool over = each<std::string_view, std::string_view, std::string_view, std::int64_t,
                             std::string_view, std::int64_t>(take, R"(
        select name, version, section, size, description, count(*) over () from curfew_package
        where lower(name) like lower($1) escape '\' or lower(description) like lower($1) escape '\'
        order by name <> $2, lower(name) not like lower($1) escape '\', length(name), name limit 50)",
                                                             like_pattern(query), query);
      if (!over) return false;
    }
    report_["found"] = std::move(found);
    report_["found_total"] = total;
    return true;
  }

  bool count() {
    const auto take = [&](std::int64_t packages, std::int64_t bytes, std::int64_t edges) {
      report_["packages"] = packages;
      report_["size_bytes"] = bytes;
      report_["dependencies"] = edges_ = edges;
    };
    return each<std::int64_t, std::int64_t, std::int64_t>(take, R"(
      select count(*), cast(coalesce(sum(size), 0) as bigint), (select count(*) from curfew_edge)
      from curfew_package)");
  }

  bool sections() {
    json::array rows;
    const auto take = [&](std::string_view name, std::int64_t packages, std::int64_t bytes) {
      json::object section;
      section["section"] = name;
      section["packages"] = packages;
      section["size_bytes"] = bytes;
      rows.push_back(std::move(section));
    };
    const bool over = each<std::string_view, std::int64_t, std::int64_t>(take, R"(
      select section, count(*), cast(sum(size) as bigint) from curfew_package group by section
      order by 3 desc, 1)");
    report_["sections"] = std::move(rows);
    return over;
  }

  /// Everything that each package needs, itself included.
  bool closures() {
    const auto add = [&](std::int64_t id) { packages_.push_back({id, {}, {}}); };
    if (!each<std::int64_t>(add, "select id from curfew_package order by id")) return false;
    for (std::size_t i = 0; i < packages_.size(); ++i) {
      const auto take = [&](std::int64_t count, std::int64_t bytes) {
        packages_[i].closure = {count, bytes};
      };
      const bool over = each<std::int64_t, std::int64_t>(take, R"(
        with recursive needed(id) as (
          select cast($1 as integer)
          union select e.needs from needed n join curfew_edge e on e.package = n.id)
        select count(*), cast(sum(p.size) as bigint) from needed join curfew_package p using (id))",
                                                         packages_[i].id);
      if (!over) return false;
      if (pace_.due()) {
        tell(part(0.0, 0.1, i, packages_.size(),
                  "What each package needs: " + with_commas(i) + " of " + with_commas(packages_.size())));
      }
    }
    std::sort(packages_.begin(), packages_.end(), [](const auto& a, const auto& b) {
      return a.closure.bytes != b.closure.bytes ? a.closure.bytes > b.closure.bytes : a.id < b.id;
    });
    return true;
  }

  /// What is needed no more if a package went: what the packages that no other needs reach, less what they
  /// reach without it.
  bool freed() {
    const auto kept_without = [&](std::int64_t id, package_set& kept) {
      const auto take = [&](std::int64_t count, std::int64_t bytes) { kept = {count, bytes}; };
      return each<std::int64_t, std::int64_t>(take, R"(
        with recursive kept(id) as (
          select id from curfew_top where id <> $1
          union select e.needs from kept k join curfew_edge e on e.package = k.id where e.needs <> $1)
        select count(*), cast(coalesce(sum(p.size), 0) as bigint)
        from kept join curfew_package p using (id))",
                                              id);
    };
    package_set kept_now;
    if (!kept_without(0, kept_now)) return false;
    const auto affordable = static_cast<std::size_t>(edges_to_follow / std::max<std::int64_t>(edges_, 1));
    const std::size_t asked = std::min(packages_.size(), std::max(affordable, shown));
    for (std::size_t i = 0; i < asked; ++i) {
      package_set kept;
      if (!kept_without(packages_[i].id, kept)) return false;
      packages_[i].freed = package_set{kept_now.count - kept.count, kept_now.bytes - kept.bytes};
      if (pace_.due()) {
        tell(part(0.1, 1.0, i, asked,
                  "What would be freed: " + with_commas(i) + " of " + with_commas(asked) + " packages"));
      }
    }
    return true;
  }

  bool list_heaviest() { return list("heaviest"); }

  bool list_freeing() {
    std::erase_if(packages_, [](const auto& p) { return !p.freed; });
    std::sort(packages_.begin(), packages_.end(), [](const auto& a, const auto& b) {
      return a.freed->bytes != b.freed->bytes ? a.freed->bytes > b.freed->bytes : a.id < b.id;
    });
    return list("freeing");
  }

  /// The first of `packages_`.
  bool list(const char* key) {
    json::array rows;
    for (const weighed_package& weighed : std::span(packages_).first(std::min(shown, packages_.size()))) {
      const auto take = [&](std::string_view name, std::string_view version, std::string_view section,
                            std::int64_t size) {
        json::object package = named(name, version, section);
        package["size_bytes"] = size;
        package["closure_packages"] = weighed.closure.count;
        package["closure_size_bytes"] = weighed.closure.bytes;
        package["freed_packages"] = weighed.freed ? json::value(weighed.freed->count) : json::value(nullptr);
        package["freed_size_bytes"] =
            weighed.freed ? json::value(weighed.freed->bytes) : json::value(nullptr);
        rows.push_back(std::move(package));
      };
      const bool over = each<std::string_view, std::string_view, std::string_view, std::int64_t>(
          take, "select name, version, section, size from curfew_package where id = $1", weighed.id);
      if (!over) return false;
    }
    report_[key] = std::move(rows);
    return true;
  }

  static json::object named(std::string_view name, std::string_view version, std::string_view section) {
    json::object package;
    package["name"] = name;
    package["version"] = version;
    package["section"] = section;
    return package;
  }

  static progress part(double from, double to, std::size_t done, std::size_t of, std::string text) {
    return {from + (to - from) * static_cast<double>(done) / static_cast<double>(of), std::move(text), {}};
  }

  void tell(const progress& p) { tell_(p); }

  const curfew::context& ctx_;
  sql::transaction from_;
  const report_progress& tell_;
  throttle pace_{progress_interval};
  std::int64_t edges_ = 0;
  std::vector<weighed_package> packages_;
  json::object report_;
  failure why_;  // where there is none
};

}  // namespace

std::expected<json::value, failure> package_report(const curfew::context& ctx, package_database& from,
                                                   const std::string& query, const report_progress& tell) {
  auto reading = from.read(ctx);
  if (!reading) return std::unexpected(failure_of(ctx, reading.error()));
  return report_maker(ctx, *std::move(reading), tell).make(query);
}

work_planner plan_packages(std::shared_ptr<package_library> library) {
  return [library = std::move(library)](const http::request& request) -> std::expected<heavy_work, refusal> {
    std::string query = to_utf8(request.query("q").value_or("")).text;
    if (query.size() > longest_query) {
      return std::unexpected(refusal{http::status::bad_request, "The search text is too long."});
    }
    return heavy_work(
        [library, query = std::move(query)](
            const curfew::context& ctx, const report_progress& tell) -> std::expected<json::value, failure> {
          auto database = library->get(ctx);
          if (!database) return std::unexpected(std::move(database).error());
          return package_report(ctx, **database, query, tell);
        });
  };
}

}  // namespace curfew_dashboard
