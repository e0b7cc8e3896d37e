// Which end point answers a method and a path.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "serve/http/handler.h"

namespace glmoe::serve {

class Router {
 public:
  // Throws kInternal for two routes of the same method and path.
  void add(Route route);

  struct Match {
    const Route* route = nullptr;  // null: nothing under this path, or not this method
    std::string path_rest;
    std::string allow;  // "GET, HEAD, OPTIONS" where the path exists; empty: it does not
    ErrorStyle error_style = ErrorStyle::kOpenAi;
  };
  // The longest pattern wins. HEAD finds the GET route.
  Match find(std::string_view method, std::string_view path) const;

  const std::deque<Route>& routes() const { return routes_; }

 private:
  struct Entry {
    std::vector<const Route*> by_method;
  };
  Match match_entry(const Entry& entry, std::string_view method) const;

  std::deque<Route> routes_;
  std::unordered_map<std::string, Entry> exact_;
  std::unordered_map<std::string, Entry> prefixes_;  // without the "*"
};

}  // namespace glmoe::serve
