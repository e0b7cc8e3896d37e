#include "serve/http/http_service.h"

#include <algorithm>

#include "base/error.h"

namespace glmoe::serve {
namespace {

// Paths under it speak Anthropic's API, also where no route is found.
constexpr std::string_view kAnthropicPath = "/v1/messages";

Admission refuse(Admission admission, HttpError error) {
  admission.route = nullptr;
  admission.error = std::move(error);
  return admission;
}

}  // namespace

Admission admit(const HttpService& service, const HttpRequest& request) {
  Router::Match match = service.router.find(request.method, request.path);
  Admission admission{.path_rest = std::move(match.path_rest),
                      .allow = std::move(match.allow),
                      .error_style = match.error_style};
  if (request.path.starts_with(kAnthropicPath)) admission.error_style = ErrorStyle::kAnthropic;
  // A browser asks beforehand without a key, and learns nothing but the methods.
  if (request.method == "OPTIONS" && (!admission.allow.empty() || request.path == "*")) {
    admission.preflight = true;
    return admission;
  }
  const bool is_public = match.route != nullptr && match.route->access == Access::kPublic;
  if (!service.keys.empty() && !is_public) {
    admission.key_id = service.keys.find(key_of(request));
    if (admission.key_id.empty()) {
      return refuse(std::move(admission),
                    {.status = 401,
                     .message = "a valid API key is needed: Authorization: Bearer KEY",
                     .code = "invalid_api_key"});
    }
  }
  if (admission.allow.empty()) {
    return refuse(std::move(admission),
                  {.status = 404,
                   .message = fmt::format("there is no {} {}", request.method, request.path),
                   .code = "unknown_path"});
  }
  if (match.route == nullptr) {
    HttpError error{.status = 405,
                    .message = fmt::format("{} does not take {}: use {}", request.path,
                                           request.method, admission.allow),
                    .code = "method_not_allowed",
                    .extra_allow = admission.allow};
    return refuse(std::move(admission), std::move(error));
  }
  if (match.route->refused_while_draining && service.draining.load()) {
    return refuse(std::move(admission), {.status = 503,
                                         .message = "the server is shutting down: try another one",
                                         .code = "shutting_down",
                                         .retry_after_s = 5});
  }
  admission.route = match.route;
  return admission;
}

Headers cors_headers(const HttpService& service, const HttpRequest& request) {
  if (service.cors_origins.empty()) return {};
  const std::string origin(request.header("origin"));
  const auto& allowed = service.cors_origins;
  Headers headers = {{"Vary", "Origin"}};
  if (origin.empty()) return headers;
  if (std::find(allowed.begin(), allowed.end(), "*") != allowed.end()) {
    headers.emplace_back("Access-Control-Allow-Origin", "*");
  } else if (std::find(allowed.begin(), allowed.end(), origin) != allowed.end()) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
  } else {
    return headers;
  }
  headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  return headers;
}

}  // namespace glmoe::serve
