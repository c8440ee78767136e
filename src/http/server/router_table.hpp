#pragma once

#include <curfew/http/router.hpp>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace curfew::http {

struct route {
  std::string method;
  std::vector<std::string> names;  // of the pattern's `{name}` segments, from left to right
  handler call;
  route_options options;
  std::source_location where;
  std::string pattern{};
};

/// What a router makes of a request.
struct routing {
  enum class kind {
    found,
    bad_path,   ///< A malformed escape.
    unknown,    ///< No pattern matches.
    no_method,  ///< A pattern matches under other methods: `allow`.
    describe,   ///< OPTIONS: `allow`.
  };
  kind what;
  const route* to = nullptr;  ///< Where it was found.
  std::string allow;
  /// The route of an answer of the router's own, wrapped by around(): `to` points to it.
  std::shared_ptr<const route> own = nullptr;
};

/// The patterns as a tree, one level a segment.
struct router::table {
  struct node {
    std::string segment;
    std::vector<node> literals;  // sorted by segment
    std::vector<node> any;       // `{name}`: one or none
    std::vector<route> routes;   // of patterns that end here, one a method
  };

  node root;
  wrapper wrap;  // of all calls of around(); may be empty

  node& literal_below(node& parent, std::string_view segment);
  node& any_below(node& parent);
  void put(node& at, route r, std::string_view pattern) const;
};

struct router_access {
  /// Finds the route and fills in path and params of `r`.
  static routing find(const router& table, request& r);
};

}  // namespace curfew::http
