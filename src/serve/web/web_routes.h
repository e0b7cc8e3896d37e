// The routes of the web page: GET / and GET /web/*. They need no API key, since they tell nothing;
// what the page asks for does.
#pragma once

#include <string>

#include "serve/http/router.h"

namespace glmoe::serve {

// What the page is told about the port that it came from, as web/config.json.
struct WebPageOptions {
  bool chat = true;          // the port answers prompts
  std::string experts_path;  // where its expert counts are, "admin/experts"; empty: not here
};

// Throws kInternal where the router has one of the routes.
void add_web_routes(Router& router, const WebPageOptions& options);

}  // namespace glmoe::serve
