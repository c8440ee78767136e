#include "services/packages/package_database.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "base/file_descriptor.hpp"

namespace curfew_dashboard {

namespace {

constexpr const char* schema = R"(
  pragma journal_mode = off;
  pragma synchronous = off;
  begin;
  create table package(id integer primary key, name text, version text, section text, size integer, description text);
  create table provided(name text, package integer);
  create table wanted(package integer, name text);
)";

constexpr const char* finish = R"(
  create index provided_name on provided(name);
  create table edge(package integer, needs integer, primary key(package, needs)) without rowid;
  insert or ignore into edge
    select w.package, p.package from wanted w join provided p on p.name = w.name where w.package <> p.package;
  create table top(id integer primary key);
  insert into top select id from package where id not in (select needs from edge);
  drop table wanted;
  drop table provided;
  commit;
  analyze;
)";

[[noreturn]] void fail(const char* doing) { throw std::system_error(errno, std::generic_category(), doing); }

void fill(const sqlite_connection& database, const std::vector<installed_package>& packages) {
  sqlite_statement package(database, "insert into package values(?1, ?2, ?3, ?4, ?5, ?6)");
  sqlite_statement provided(database, "insert into provided values(?1, ?2)");
  sqlite_statement wanted(database, "insert into wanted values(?1, ?2)");
  const auto provide = [&](const std::string& name, std::int64_t id) {
    provided.reset();
    provided.bind(1, name);
    provided.bind(2, id);
    provided.run();
  };
  std::int64_t id = 0;
  for (const installed_package& p : packages) {
    ++id;
    package.reset();
    package.bind(1, id);
    package.bind(2, p.name);
    package.bind(3, p.version);
    package.bind(4, p.section);
    package.bind(5, static_cast<std::int64_t>(p.size_bytes));
    package.bind(6, p.description);
    package.run();
    provide(p.name, id);
    for (const std::string& name : p.provides) provide(name, id);
    for (const auto& any_of : p.depends) {
      for (const std::string& name : any_of) {
        wanted.reset();
        wanted.bind(1, id);
        wanted.bind(2, name);
        wanted.run();
      }
    }
  }
}

}  // namespace

void package_database::unmap::operator()(unsigned char* pages) const noexcept { ::munmap(pages, size); }

package_database::package_database(const std::vector<installed_package>& packages) {
  const char* directory =
      std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
  std::string path =
      std::string(directory != nullptr && *directory != 0 ? directory : "/tmp") + "/curfew-packages-XXXXXX";
  const file_descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (!file) fail("creating a temporary file");
  {
    sqlite_connection database(path);
    ::unlink(path.c_str());  // open here and there: from now on it cannot be left behind
    database.execute(schema);
    fill(database, packages);
    database.execute(finish);
  }
  struct stat about{};
  if (::fstat(file.get(), &about) != 0) fail("looking at a temporary file");
  const auto size = static_cast<std::size_t>(about.st_size);
  void* pages = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (pages == MAP_FAILED) fail("mapping a temporary file");
  pages_ = {static_cast<unsigned char*>(pages), unmap{size}};
}

sqlite_connection package_database::open() const {
  sqlite_connection connection(":memory:");
  const auto size = static_cast<sqlite3_int64>(pages_.get_deleter().size);
  // Read-only: SQLite takes the pages as they are, copies none and writes to none.
  if (::sqlite3_deserialize(connection.get(), "main", pages_.get(), size, size,
                            SQLITE_DESERIALIZE_READONLY) != SQLITE_OK) {
    throw sqlite_error(::sqlite3_errmsg(connection.get()));
  }
  connection.execute("pragma temp_store = memory");
  return connection;
}

}  // namespace curfew_dashboard
