#include "serve/web/web_routes.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "serve/web/web_files.h"

namespace glmoe::serve {
namespace {

using Awaitable = boost::asio::awaitable<void>;

// Nothing comes from elsewhere, nothing is sent elsewhere, nobody puts the page into a frame: what
// a model writes cannot do more than be read.
const Headers& page_headers() {
  static const Headers headers = {
      {"Content-Security-Policy",
       "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
       "object-src 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      // Asked for again each time, so that a new program's page is never half an old one.
      {"Cache-Control", "no-cache"},
  };
  return headers;
}

// Whether an If-None-Match header names `etag`; weak comparison, as the header asks for.
bool matches(std::string_view if_none_match, std::string_view etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string_view::npos;
}

Awaitable send_file(const WebFile& file, const HttpRequest& request, ResponseWriter& response) {
  Headers headers = page_headers();
  headers.emplace_back("ETag", file.etag);
  if (matches(request.header("if-none-match"), file.etag)) {
    response.send(304, "", "", headers);
  } else {
    response.send(200, file.content_type, std::string(file.data), headers);
  }
  co_return;
}

const WebFile* find_file(std::string_view path) {
  const auto files = web_files();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [path](const WebFile& each) { return each.path == path; });
  return file == files.end() ? nullptr : &*file;
}

Awaitable send_index(const HttpRequest& request, ResponseWriter& response) {
  const WebFile* index = find_file("index.html");
  if (index == nullptr) fail(ErrorCode::kInternal, "the program has no index.html in it");
  return send_file(*index, request, response);
}

Awaitable send_under_web(std::string config, const HttpRequest& request, ResponseWriter& response) {
  if (request.path_rest == "config.json") {
    response.send(200, "application/json", std::move(config), page_headers());
    co_return;
  }
  const WebFile* file = find_file(request.path_rest);
  if (file == nullptr) {
    response.send_error({.status = 404,
                         .message = fmt::format("the web page has no file '{}'", request.path_rest),
                         .code = "unknown_path"});
    co_return;
  }
  co_await send_file(*file, request, response);
}

std::string config_json(const WebPageOptions& options) {
  OrderedJson json;
  json["chat"] = options.chat;
  json["experts"] =
      options.experts_path.empty() ? OrderedJson() : OrderedJson(options.experts_path);
  return json.dump();
}

}  // namespace

void add_web_routes(Router& router, const WebPageOptions& options) {
  router.add({"GET", "/", Access::kPublic, send_index});
  router.add(
      {"GET", "/web/*", Access::kPublic,
       [config = config_json(options)](const HttpRequest& request, ResponseWriter& response) {
         return send_under_web(config, request, response);
       }});
}

}  // namespace glmoe::serve
