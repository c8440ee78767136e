#include "services/packages/package_database.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace curfew_dashboard {

namespace {

/// Reports that are made at a time; the next ones wait.
constexpr std::size_t connections = 32;

// NOLINTBEGIN(modernize-avoid-c-arrays): their sizes are their contents'
constexpr sql::text schema[] = {
    "drop table if exists curfew_package",
    "drop table if exists curfew_edge",
    "drop table if exists curfew_top",
    R"(create table curfew_package(id integer primary key, name text, version text, section text, size bigint,
         description text))",
    "create table curfew_provided(name text, package integer)",
    "create table curfew_wanted(package integer, name text)",
};

constexpr sql::text finish[] = {
    "create index curfew_provided_name on curfew_provided(name)",
    "create table curfew_edge(package integer, needs integer, primary key(package, needs))",
    R"(insert into curfew_edge select distinct w.package, p.package from curfew_wanted w
         join curfew_provided p on p.name = w.name where w.package <> p.package)",
    "create table curfew_top(id integer primary key)",
    "insert into curfew_top select id from curfew_package where id not in (select needs from curfew_edge)",
    "drop table curfew_wanted",
    "drop table curfew_provided",
    "analyze",
};
// NOLINTEND(modernize-avoid-c-arrays)

/// One transaction that makes all tables. Every method returns false once a statement has failed.
class maker {
 public:
  maker(const curfew::context& ctx, sql::transaction& in) : ctx_(ctx), in_(in) {}

  sql::result<> make(const std::vector<installed_package>& packages) {
    bool fine = true;
    for (const sql::text& statement : schema) fine = fine && execute(statement);
    std::int64_t id = 0;
    for (const installed_package& p : packages) fine = fine && add(++id, p);
    for (const sql::text& statement : finish) fine = fine && execute(statement);
    if (!fine) return *std::move(why_);
    return in_.commit(ctx_);
  }

 private:
  template <class... Values>
  bool execute(sql::text what, const Values&... values) {
    auto done = in_.execute(ctx_, what, values...);
    if (done) return true;
    why_ = std::move(done).error();
    return false;
  }

  bool add(std::int64_t id, const installed_package& p) {
    bool fine = execute("insert into curfew_package values($1, $2, $3, $4, $5, $6)", id, p.name, p.version,
                        p.section, static_cast<std::int64_t>(p.size_bytes), p.description) &&
                provide(p.name, id);
    for (const std::string& name : p.provides) fine = fine && provide(name, id);
    for (const auto& any_of : p.depends) {
      for (const std::string& name : any_of)
        fine = fine && execute("insert into curfew_wanted values($1, $2)", id, name);
    }
    return fine;
  }

  bool provide(const std::string& name, std::int64_t id) {
    return execute("insert into curfew_provided values($1, $2)", name, id);
  }

  const curfew::context& ctx_;
  sql::transaction& in_;
  std::optional<sql::error> why_;
};

}  // namespace

package_database::package_database(const std::string& url)
    : folder_(url.empty() ? std::make_optional<temporary_folder>("curfew-packages") : std::nullopt),
      pool_(folder_ ? "sqlite:" + (folder_->path() / "packages.db").string() : url,
            sql::pool_options().size(connections)) {}

sql::result<std::shared_ptr<package_database>> package_database::make(
    const curfew::context& ctx, const std::vector<installed_package>& packages, const std::string& url) {
  std::shared_ptr<package_database> made(new package_database(url));
  auto writing = made->pool_.begin(ctx);
  if (!writing) return std::move(writing).error();
  if (auto filled = maker(ctx, *writing).make(packages); !filled) return std::move(filled).error();
  return made;
}

sql::result<sql::transaction> package_database::read(const curfew::context& ctx) {
  return pool_.begin(ctx, sql::transaction_options().read_only(true));
}

}  // namespace curfew_dashboard
