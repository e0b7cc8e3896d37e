#include "serve/http/router.h"

#include "base/error.h"

namespace glmoe::serve {

void Router::add(Route route) {
  routes_.push_back(std::move(route));
  const Route& added = routes_.back();
  const bool prefix = added.path.ends_with('*');
  Entry& entry =
      prefix ? prefixes_[added.path.substr(0, added.path.size() - 1)] : exact_[added.path];
  for (const Route* other : entry.by_method) {
    if (other->method == added.method) {
      fail(ErrorCode::kInternal, "route {} {} is there twice", added.method, added.path);
    }
  }
  entry.by_method.push_back(&added);
}

Router::Match Router::match_entry(const Entry& entry, std::string_view method) const {
  Match match;
  for (const Route* route : entry.by_method) {
    match.allow += route->method + ", ";
    if (route->method == "GET") match.allow += "HEAD, ";
    match.error_style = route->error_style;
    if (route->method == method || (route->method == "GET" && method == "HEAD")) {
      match.route = route;
    }
  }
  match.allow += "OPTIONS";
  return match;
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  const auto exact = exact_.find(std::string(path));
  if (exact != exact_.end()) return match_entry(exact->second, method);
  for (size_t slash = path.rfind('/'); slash != std::string_view::npos;
       slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1)) {
    const auto prefix = prefixes_.find(std::string(path.substr(0, slash + 1)));
    if (prefix == prefixes_.end() || slash + 1 == path.size()) continue;
    Match match = match_entry(prefix->second, method);
    match.path_rest = path.substr(slash + 1);
    return match;
  }
  return {};
}

}  // namespace glmoe::serve
