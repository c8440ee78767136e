#include "http/client/file_saver.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <curfew/http/errc.hpp>
#include <filesystem>
#include <fstream>
#include <utility>

#include "http/client/client_url.hpp"
#include "http/message/syntax.hpp"

namespace curfew::http {

namespace {

/// "bytes 100-199/200", "bytes 100-199/*", "bytes */200"
struct content_range {
  std::optional<std::uint64_t> first;
  std::uint64_t last = 0;
  std::optional<std::uint64_t> total;
};

std::optional<content_range> parse_content_range(std::string_view text) {
  constexpr std::string_view unit = "bytes ";
  if (!text.starts_with(unit)) return std::nullopt;
  text = trimmed(text.substr(unit.size()));
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  content_range made;
  const auto range = text.substr(0, slash);
  if (range != "*") {
    const auto dash = range.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    made.first = parse_number<std::uint64_t>(range.substr(0, dash));
    const auto last = parse_number<std::uint64_t>(range.substr(dash + 1));
    if (!made.first || !last || *last < *made.first) return std::nullopt;
    made.last = *last;
  }
  const auto total = text.substr(slash + 1);
  if (total == "*") return made;
  made.total = parse_number<std::uint64_t>(total);
  if (!made.total || (made.first && made.last >= *made.total)) return std::nullopt;
  return made;
}

std::optional<std::uint64_t> length_of(const response& head) {
  const auto text = head.fields().find("Content-Length");
  return text ? parse_number<std::uint64_t>(*text) : std::nullopt;
}

}  // namespace

file_saver::file_saver(request what, std::string path, save_options options)
    : what_(std::move(what)),
      path_(std::move(path)),
      options_(std::move(options)) {}

file_saver::~file_saver() {
  if (done_ || !file_.is_open()) return;
  if (options_.resume() && !version_.empty() && size_ != 0) return;  // to be gone on from
  ::unlink(from().c_str());
  ::unlink(part().c_str());
}

result<file_saver> file_saver::open(request what, std::string path, save_options options) {
  file_saver made(std::move(what), std::move(path), std::move(options));
  const auto refuse = [&](std::string_view why) {
    return made.failed(std::make_error_code(std::errc::invalid_argument), why);
  };
  if (made.what_.method() == "HEAD") return refuse("a HEAD request has nothing to save");
  for (const char* name : {"Range", "If-Range"}) {
    if (made.what_.fields().contains(name))
      return refuse(std::string("the field ") + name + " is not for the caller to set");
  }
  descriptor file(::open(made.part().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  struct stat is{};
  if (!file.is_open() || ::fstat(file.get(), &is) != 0) return made.system_error("opening " + made.part());
  if (!S_ISREG(is.st_mode)) return refuse(made.part() + " is not a file");
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return made.failed(std::make_error_code(std::errc::device_or_resource_busy),
                       made.part() + " is being saved already");
  }
  made.size_ = static_cast<std::uint64_t>(is.st_size);
  if (made.what_.method() == "GET" && made.options_.resume() && made.size_ != 0)
    made.version_ = made.read_version();
  made.file_ = std::move(file);
  return made;
}

error file_saver::failed(std::error_code code, std::string_view doing) const {
  return error(code, what_.method() + ' ' + shown_url(what_.target()) + " : " + std::string(doing));
}

error file_saver::system_error(std::string_view doing) const {
  return failed(std::error_code(errno, std::generic_category()), doing);
}

/// What tells this version of the file from others; empty if nothing does for sure.
std::string file_saver::version_of(const response& head) const {
  if (what_.method() != "GET") return {};
  const auto tag = head.fields().find("ETag");
  if (tag && tag->starts_with('"')) return std::string(*tag);  // not a weak one
  const auto changed = head.fields().find("Last-Modified");
  const auto now = head.fields().find("Date");
  // A date of the second in which the answer was made may stand for two versions.
  if (!tag && changed && now && *changed != *now) return std::string(*changed);
  return {};
}

/// Of what is in the file, if it came from the same URL.
std::string file_saver::read_version() const {
  std::ifstream in(from());
  std::string url;
  std::string version;
  if (!std::getline(in, url) || !std::getline(in, version) || url != shown_url(what_.target())) return {};
  return version;
}

request file_saver::to_send() const {
  request made = what_;
  if (!version_.empty()) {
    made.set("Range", "bytes=" + std::to_string(size_) + '-');
    made.set("If-Range", version_);
  }
  return made;
}

result<> file_saver::check_size(std::uint64_t size) const {
  if (!options_.max_size() || size <= *options_.max_size()) return {};
  return failed(errc::too_large,
                "saving " + path_ + " (more than " + std::to_string(*options_.max_size()) + " bytes)");
}

result<file_saver::next> file_saver::on_head(const response& head) {
  const bool asked = !version_.empty();
  const unsigned status = to_number(head.status());
  const auto coding = head.fields().find("Content-Encoding");
  if (coding && (status == 200 || status == 206) && !what_.fields().contains("Accept-Encoding")) {
    return failed(errc::bad_response,
                  "saving " + path_ + " (the content coding " + std::string(*coding) + ')');
  }
  if (status == 206 && asked) return go_on(head);
  if (status == 416 && asked) {
    const auto text = head.fields().find("Content-Range");
    const auto range = text ? parse_content_range(*text) : std::nullopt;
    if (range && !range->first && range->total == size_) {  // all of it had come
      if (auto small = check_size(size_); !small) return small.error();
      resumed_at_ = size_;
      return next::finish;
    }
    version_.clear();
    return next::again;
  }
  if (status == 200) {
    if (auto begun = begin(head); !begun) return begun.error();
    return next::body;
  }
  return failed(std::make_error_code(std::errc::protocol_error),
                "saving " + path_ + " (the answer is " + head.status_line() + ')');
}

/// The rest of what is there comes.
result<file_saver::next> file_saver::go_on(const response& head) {
  const auto text = head.fields().find("Content-Range");
  const auto range = text ? parse_content_range(*text) : std::nullopt;
  const auto wrong = [&](std::string_view why) {
    return failed(errc::bad_response, "saving " + path_ + " (" + std::string(why) + ')');
  };
  if (!range || range->first != size_) return wrong("a range that was not asked for");
  if (range->total && range->last + 1 != *range->total) return wrong("a range that is not the rest");
  if (const auto length = length_of(head); length && *length != range->last + 1 - size_)
    return wrong("a range of another length than the body");
  const auto tag = head.fields().find("ETag");
  if (tag && version_.starts_with('"') && *tag != version_) return wrong("a range of another version");
  total_ = range->last + 1;
  if (auto small = check_size(*total_); !small) return small.error();
  if (::lseek(file_.get(), static_cast<off_t>(size_), SEEK_SET) < 0) return system_error("writing " + part());
  resumed_at_ = size_;
  return next::body;
}

/// All of it comes: what was there goes.
result<> file_saver::begin(const response& head) {
  total_ = length_of(head);
  if (total_) {
    if (auto small = check_size(*total_); !small) return small.error();
  }
  version_.clear();
  if (::unlink(from().c_str()) != 0 && errno != ENOENT) return system_error("removing " + from());
  if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) != 0)
    return system_error("writing " + part());
  size_ = 0;
  if (!options_.resume()) return {};
  const std::string version = version_of(head);
  if (version.empty()) return {};
  std::ofstream out(from());
  out << shown_url(what_.target()) << '\n' << version << '\n';
  out.close();
  if (!out) return system_error("writing " + from());
  version_ = version;
  return {};
}

result<> file_saver::write(std::string_view bytes) {
  if (auto small = check_size(size_ + bytes.size()); !small) return small.error();
  const std::size_t whole = bytes.size();
  const bool written = write_all(file_.get(), bytes);
  size_ += whole - bytes.size();
  if (!written) return system_error("writing " + part());
  if (options_.on_progress()) options_.on_progress()({size_, total_});
  return {};
}

result<saved_file> file_saver::finish() {
  if (total_ && size_ != *total_) return failed(errc::truncated_body, "saving " + path_);
  if (options_.sync() && ::fdatasync(file_.get()) != 0) return system_error("writing " + part());
  if (::rename(part().c_str(), path_.c_str()) != 0) return system_error("renaming " + part());
  done_ = true;
  ::unlink(from().c_str());
  if (options_.sync()) {
    const auto directory = std::filesystem::path(path_).parent_path();
    const descriptor of(
        ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!of.is_open() || ::fsync(of.get()) != 0) return system_error("naming " + path_);
  }
  return saved_file{size_, resumed_at_};
}

}  // namespace curfew::http
