#include "services/packages/packages.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <chrono>
#include <optional>
#include <span>
#include <unordered_map>
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

/// One report. Every method that runs a statement returns false once the context has ended.
class report_maker {
 public:
  report_maker(const curfew::context& ctx, const package_database& from, const report_progress& tell)
      : ctx_(ctx),
        connection_(from.open()),
        guard_(connection_, ctx),
        tell_(tell) {}

  std::expected<json::value, failure> make(const std::string& query) {
    const auto began = std::chrono::steady_clock::now();
    if (!(search(query) && count() && sections() && closures() && freed() && list_heaviest() &&
          list_freeing())) {
      return std::unexpected(ended_failure(ctx_));
    }
    report_["elapsed_ms"] =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began)
            .count();
    return std::move(report_);
  }

 private:
  /// Calls `row` for each row of the statement.
  template <class Row>
  bool each(sqlite_statement& statement, Row row) {
    for (;;) {
      if (ctx_.err()) return false;
      const sqlite_step step = statement.step();
      if (step == sqlite_step::ended) return false;
      if (step == sqlite_step::done) return true;
      row(statement);
    }
  }

  bool search(const std::string& query) {
    report_["query"] = query;
    json::array found;
    std::int64_t total = 0;
    if (!query.empty()) {
      tell({0.0, "Searching for " + query, {}});
      sqlite_statement select(connection_, R"(
        select name, version, section, size, description, count(*) over () from package
        where name like ?1 escape '\' or description like ?1 escape '\'
        order by name <> ?2, name not like ?1 escape '\', length(name), name limit 50)");
      select.bind(1, like_pattern(query));
      select.bind(2, query);
      const bool over = each(select, [&](const sqlite_statement& row) {
        json::object package = named(row);
        package["size_bytes"] = row.number(3);
        package["description"] = row.text(4);
        total = row.number(5);
        found.push_back(std::move(package));
      });
      if (!over) return false;
    }
    report_["found"] = std::move(found);
    report_["found_total"] = total;
    return true;
  }

  bool count() {
    sqlite_statement select(
        connection_,
        "select count(*), total(size), (select count(*) from edge), (select count(*) from top) from package");
    return each(select, [&](const sqlite_statement& row) {
      report_["packages"] = row.number(0);
      report_["size_bytes"] = row.number(1);
      report_["dependencies"] = edges_ = row.number(2);
    });
  }

  bool sections() {
    sqlite_statement select(
        connection_, "select section, count(*), sum(size) from package group by section order by 3 desc, 1");
    json::array rows;
    const bool over = each(select, [&](const sqlite_statement& row) {
      json::object section;
      section["section"] = row.text(0);
      section["packages"] = row.number(1);
      section["size_bytes"] = row.number(2);
      rows.push_back(std::move(section));
    });
    report_["sections"] = std::move(rows);
    return over;
  }

  /// Everything that each package needs, itself included.
  bool closures() {
    sqlite_statement all(connection_, "select id from package order by id");
    if (!each(all, [&](const sqlite_statement& row) { packages_.push_back({row.number(0), {}, {}}); }))
      return false;
    sqlite_statement follow(connection_, R"(
      with recursive needed(id) as (select ?1 union select e.needs from needed n join edge e on e.package = n.id)
      select count(*), sum(p.size) from needed join package p using (id))");
    for (std::size_t i = 0; i < packages_.size(); ++i) {
      follow.reset();
      follow.bind(1, packages_[i].id);
      if (!each(follow, [&](const sqlite_statement& row) { packages_[i].closure = set_of(row); }))
        return false;
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
    sqlite_statement reach(connection_, R"(
      with recursive kept(id) as (
        select id from top where id <> ?1
        union select e.needs from kept k join edge e on e.package = k.id where e.needs <> ?1)
      select count(*), sum(p.size) from kept join package p using (id))");
    const auto kept_without = [&](std::int64_t id, package_set& kept) {
      reach.reset();
      reach.bind(1, id);
      return each(reach, [&](const sqlite_statement& row) { kept = set_of(row); });
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
    sqlite_statement select(connection_, "select name, version, section, size from package where id = ?1");
    json::array rows;
    for (const weighed_package& weighed : std::span(packages_).first(std::min(shown, packages_.size()))) {
      select.reset();
      select.bind(1, weighed.id);
      const bool over = each(select, [&](const sqlite_statement& row) {
        json::object package = named(row);
        package["size_bytes"] = row.number(3);
        package["closure_packages"] = weighed.closure.count;
        package["closure_size_bytes"] = weighed.closure.bytes;
        package["freed_packages"] = weighed.freed ? json::value(weighed.freed->count) : json::value(nullptr);
        package["freed_size_bytes"] =
            weighed.freed ? json::value(weighed.freed->bytes) : json::value(nullptr);
        rows.push_back(std::move(package));
      });
      if (!over) return false;
    }
    report_[key] = std::move(rows);
    return true;
  }

  static json::object named(const sqlite_statement& row) {
    json::object package;
    package["name"] = row.text(0);
    package["version"] = row.text(1);
    package["section"] = row.text(2);
    return package;
  }

  static package_set set_of(const sqlite_statement& row) { return {row.number(0), row.number(1)}; }

  static progress part(double from, double to, std::size_t done, std::size_t of, std::string text) {
    return {from + (to - from) * static_cast<double>(done) / static_cast<double>(of), std::move(text), {}};
  }

  void tell(const progress& p) { tell_(p); }

  const curfew::context& ctx_;
  sqlite_connection connection_;
  query_guard guard_;
  const report_progress& tell_;
  throttle pace_{progress_interval};
  std::int64_t edges_ = 0;
  std::vector<weighed_package> packages_;
  json::object report_;
};

}  // namespace

std::expected<json::value, failure> package_report(const curfew::context& ctx, const package_database& from,
                                                   const std::string& query, const report_progress& tell) {
  return report_maker(ctx, from, tell).make(query);
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
