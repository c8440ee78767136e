#include <algorithm>
#include <array>
#include <cstdint>
#include <curfew/http/router.hpp>
#include <span>
#include <stdexcept>

#include "http/message/conditions.hpp"
#include "http/message/message_access.hpp"
#include "http/message/syntax.hpp"
#include "http/message/target.hpp"
#include "http/server/plain_answer.hpp"
#include "http/server/router_table.hpp"

namespace curfew::http {

namespace asio = boost::asio;

namespace {

[[noreturn]] void malformed(std::string_view pattern, std::string_view why) {
  throw std::invalid_argument("route \"" + std::string(pattern) + "\": " + std::string(why));
}

/// The segments of what follows the leading slash: "a//b/" has "a", "", "b" and "".
template <class F>
void for_each_segment(std::string_view text, F f) {
  for (;;) {
    const auto slash = text.find('/');
    f(text.substr(0, slash));
    if (slash == std::string_view::npos) return;
    text.remove_prefix(slash + 1);
  }
}

/// One request's way through the tree. Where a literal segment leads nowhere, `{name}` is tried. A node is
/// visited once at most, because its depth says which segment it stands for.
class search {
 public:
  using node = router::table::node;

  search(std::string_view method, std::span<const std::string_view> segments)
      : method_(method),
        segments_(segments) {}

  /// Leaves what `{name}` stands for in `values`.
  const route* run(const node& at, std::size_t depth = 0) {
    if (depth == segments_.size()) return end(at);
    const auto segment = segments_[depth];
    const auto literal = std::ranges::lower_bound(
        at.literals, segment, {}, [](const node& n) -> std::string_view { return n.segment; });
    if (literal != at.literals.end() && literal->segment == segment) {
      if (const route* found = run(*literal, depth + 1)) return found;
    }
    if (at.any.empty() || segment.empty()) return nullptr;
    values.push_back(segment);
    if (const route* found = run(at.any.front(), depth + 1)) return found;
    values.pop_back();
    return nullptr;
  }

  std::vector<std::string_view> values;
  std::vector<std::string_view> methods;  // of the patterns that match the path

 private:
  const route* end(const node& at) {
    const route* get = nullptr;
    for (const route& r : at.routes) {
      if (r.method == method_) return &r;
      if (r.method == "GET") get = &r;
      methods.push_back(r.method);
    }
    return method_ == "HEAD" ? get : nullptr;
  }

  std::string_view method_;
  std::span<const std::string_view> segments_;
};

std::string allowed(std::vector<std::string_view> methods) {
  if (std::ranges::find(methods, "GET") != methods.end()) methods.push_back("HEAD");
  methods.push_back("OPTIONS");
  std::ranges::sort(methods);
  const auto doubles = std::ranges::unique(methods);
  methods.erase(doubles.begin(), doubles.end());
  std::string list;
  for (const auto m : methods) {
    if (!list.empty()) list += ", ";
    list += m;
  }
  return list;
}

void collect_methods(const router::table::node& at, std::vector<std::string_view>& methods);

/// The part of a target that a path is in: absolute form has a scheme and an authority before it.
std::string_view path_of(std::string_view target) {
  if (!target.starts_with('/')) {
    const auto authority = target.find("://");
    if (authority == std::string_view::npos) return target;
    const auto begin = target.find_first_of("/?", authority + 3);
    target = begin == std::string_view::npos ? std::string_view() : target.substr(begin);
  }
  const auto path = split_target(target).first;
  return path.empty() ? "/" : path;
}

std::string tag_of(std::string_view content) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : content) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return entity_tag({hash, content.size()});
}

class file_handler {
 public:
  explicit file_handler(const static_file& file) : file_(file), tag_(tag_of(file.content)) {}

  asio::awaitable<response> operator()(context /*ctx*/, const request& r) const {
    return answer(file_, tag_, &r);
  }

 private:
  static asio::awaitable<response> answer(static_file file, std::string tag, const request* r) {
    const bool is_known = judge_conditions(r->fields(), {tag, {}}, true) == condition::not_modified;
    response reply(is_known ? status::not_modified : status::ok);
    reply.set("ETag", tag);
    reply.set("Cache-Control", "no-cache");  // keep it, but ask each time whether it has changed
    if (reply.status() == status::ok) {
      reply.set("Content-Type", file.content_type);
      reply.body() = file.content;
    }
    co_return reply;
  }

  static_file file_;
  std::string tag_;
};

/// What the router answers where it has no handler to call.
asio::awaitable<response> own_answer(routing::kind what, std::string allow) {
  response made;
  switch (what) {
    case routing::kind::bad_path:
      made = plain_answer(status::bad_request);
      break;
    case routing::kind::no_method:
      made = plain_answer(status::method_not_allowed);
      break;
    case routing::kind::describe:
      made = response(status::no_content);
      break;
    default:
      made = plain_answer(status::not_found);
      break;
  }
  if (!allow.empty()) made.set("Allow", allow);
  co_return made;
}

void wrap_all(router::table::node& at, const wrapper& wrap) {
  for (route& r : at.routes) r.call = wrap(std::move(r.call));
  for (auto& below : at.literals) wrap_all(below, wrap);
  for (auto& below : at.any) wrap_all(below, wrap);
}

void collect_methods(const router::table::node& at, std::vector<std::string_view>& methods) {
  for (const route& r : at.routes) methods.push_back(r.method);
  for (const auto& below : at.literals) collect_methods(below, methods);
  for (const auto& below : at.any) collect_methods(below, methods);
}

}  // namespace

router::table::node& router::table::literal_below(node& parent, std::string_view segment) {
  auto at = std::ranges::lower_bound(parent.literals, segment, {},
                                     [](const node& n) -> std::string_view { return n.segment; });
  if (at == parent.literals.end() || at->segment != segment) {
    node made;
    made.segment = segment;
    at = parent.literals.insert(at, std::move(made));
  }
  return *at;
}

router::table::node& router::table::any_below(node& parent) {
  if (parent.any.empty()) parent.any.emplace_back();
  return parent.any.front();
}

void router::table::put(node& at, route r, std::string_view pattern) const {
  for (const route& other : at.routes) {
    if (other.method == r.method) malformed(pattern, "there is already such a route for " + r.method);
  }
  if (wrap) r.call = wrap(std::move(r.call));
  r.pattern = pattern;
  at.routes.push_back(std::move(r));
}

router::router() : table_(std::make_unique<table>()) {}
router::router(const router& other) : table_(std::make_unique<table>(*other.table_)) {}
router::router(router&&) noexcept = default;
router& router::operator=(router other) noexcept {
  table_.swap(other.table_);
  return *this;
}
router::~router() = default;

router& router::add(std::string_view method, std::string_view pattern, handler h, route_options options,
                    std::source_location where) {
  if (!pattern.starts_with('/')) malformed(pattern, "a pattern starts with a slash");
  if (method.empty()) malformed(pattern, "a route needs a method");
  if (!h) malformed(pattern, "a route needs a handler");
  route made{std::string(method), {}, std::move(h), options, where};
  auto* at = &table_->root;
  for_each_segment(pattern.substr(1), [&](std::string_view segment) {
    if (segment.starts_with('{') && segment.ends_with('}')) {
      const std::string name(segment.substr(1, segment.size() - 2));
      if (name.empty() || name.find_first_of("{}") != std::string::npos)
        malformed(pattern, "a {name} is malformed");
      if (std::ranges::find(made.names, name) != made.names.end())
        malformed(pattern, "two segments are called " + name);
      made.names.push_back(name);
      at = &table_->any_below(*at);
    } else {
      if (segment.find_first_of("{}?#") != std::string_view::npos) {
        malformed(pattern, "a segment is literal or a {name}, as a whole");
      }
      at = &table_->literal_below(*at, segment);
    }
  });
  table_->put(*at, std::move(made), pattern);
  return *this;
}

router& router::around(wrapper wrap) {
  wrap_all(table_->root, wrap);
  if (table_->wrap) {
    wrap = [inner = std::move(table_->wrap), outer = std::move(wrap)](handler h) {
      return outer(inner(std::move(h)));
    };
  }
  table_->wrap = std::move(wrap);
  return *this;
}

router& router::files(std::string_view prefix, std::span<const static_file> files,
                      std::source_location where) {
  if (!prefix.starts_with('/')) malformed(prefix, "a prefix starts with a slash");
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  const auto put = [&](const std::string& path, const static_file& file) {
    auto* at = &table_->root;
    for_each_segment(std::string_view(path).substr(1),
                     [&](std::string_view segment) { at = &table_->literal_below(*at, segment); });
    table_->put(*at, route{"GET", {}, file_handler(file), {}, where}, path);
  };
  for (const static_file& file : files) {
    const std::string base(prefix);
    put(base + '/' + std::string(file.path), file);
    if (file.path == "index.html") {
      put(base + '/', file);
      if (!base.empty()) put(base, file);
    }
  }
  return *this;
}

namespace {

asio::awaitable<response> redirect(std::string to) {
  response made(status::permanent_redirect);
  made.set("Location", to);
  co_return made;
}

void merge(router::table& table, router::table::node& to, const router::table::node& from,
           std::string_view prefix) {
  for (const route& r : from.routes) {
    const std::string pattern = std::string(prefix) + r.pattern;
    table.put(to, r, pattern);
  }
  for (const auto& below : from.literals) merge(table, table.literal_below(to, below.segment), below, prefix);
  for (const auto& below : from.any) merge(table, table.any_below(to), below, prefix);
}

}  // namespace

router& router::mount(std::string_view prefix, const router& other) {
  if (!prefix.starts_with('/')) malformed(prefix, "a prefix starts with a slash");
  if (prefix.find_first_of("{}?#") != std::string_view::npos)
    malformed(prefix, "a prefix has literal segments");
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  const table from = *other.table_;  // a copy: it may be this router
  auto* at = &table_->root;
  if (!prefix.empty()) {
    for_each_segment(prefix.substr(1),
                     [&](std::string_view segment) { at = &table_->literal_below(*at, segment); });
  }
  merge(*table_, *at, from.root, prefix);
  const auto& top = from.root.literals;
  if (!prefix.empty() && !top.empty() && top.front().segment.empty() && !top.front().routes.empty()) {
    handler to_page = [to = std::string(prefix) + '/'](context, const request&) { return redirect(to); };
    table_->put(*at, route{"GET", {}, std::move(to_page), {}, std::source_location::current()}, prefix);
  }
  return *this;
}

namespace {

routing look_up(const router::table::node& root, request& r) {
  if (r.target() == "*") {
    request_access::path(r) = "*";
    std::vector<std::string_view> methods;
    collect_methods(root, methods);
    return {routing::kind::describe, nullptr, allowed(std::move(methods))};
  }

  // Split first, decode then: an escaped slash belongs to its segment.
  const auto raw = path_of(r.target());
  std::string& path = request_access::path(r);
  path.clear();
  path.reserve(raw.size());  // so that the segments stay where they are: decoding makes nothing longer
  std::vector<std::string_view> many;
  std::array<std::string_view, 8> few;
  std::size_t count = 0;
  bool good = true;
  for_each_segment(raw.substr(1), [&](std::string_view segment) {
    path += '/';
    const std::size_t begin = path.size();
    if (segment.find('%') == std::string_view::npos) {
      path += segment;
    } else {
      const auto decoded = percent_decode(segment);
      good = good && decoded && decoded->find('\0') == std::string::npos;
      if (good) path += *decoded;
    }
    const std::string_view decoded(path.data() + begin, path.size() - begin);
    if (count < few.size()) {
      few[count] = decoded;
    } else {
      if (many.empty()) many.assign(few.begin(), few.end());
      many.push_back(decoded);
    }
    ++count;
  });
  if (!good) return {routing::kind::bad_path, nullptr, {}};

  search way(r.method(), many.empty() ? std::span<const std::string_view>(few.data(), count) : many);
  if (const route* found = way.run(root)) {
    auto& params = request_access::params(r);
    for (std::size_t i = 0; i < found->names.size(); ++i) params.emplace_back(found->names[i], way.values[i]);
    return {routing::kind::found, found, {}};
  }
  if (way.methods.empty()) return {routing::kind::unknown, nullptr, {}};
  const auto kind = r.method() == "OPTIONS" ? routing::kind::describe : routing::kind::no_method;
  return {kind, nullptr, allowed(std::move(way.methods))};
}

}  // namespace

routing router_access::find(const router& where, request& r) {
  routing made = look_up(where.table_->root, r);
  if (made.what == routing::kind::found || !where.table_->wrap) return made;
  handler answer = [what = made.what, allow = std::move(made.allow)](context, const request&) {
    return own_answer(what, allow);
  };
  made.allow.clear();
  made.own = std::make_shared<const route>(
      route{r.method(), {}, where.table_->wrap(std::move(answer)), {}, std::source_location::current()});
  made.what = routing::kind::found;
  made.to = made.own.get();
  return made;
}

}  // namespace curfew::http
