#include "serve/http/http_error.h"

#include "base/json.h"

namespace glmoe::serve {

std::string_view error_type(int status, ErrorStyle style) {
  const bool openai = style == ErrorStyle::kOpenAi;
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return openai ? "invalid_request_error" : "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return openai ? "server_error" : "overloaded_error";
    default: break;
  }
  if (status < 500) return "invalid_request_error";
  return openai ? "server_error" : "api_error";
}

std::string error_body(const HttpError& error, ErrorStyle style) {
  OrderedJson json;
  if (style == ErrorStyle::kAnthropic) {
    json["type"] = "error";
    json["error"] = {{"type", error_type(error.status, style)}, {"message", error.message}};
  } else {
    OrderedJson object;
    object["message"] = error.message;
    object["type"] = error_type(error.status, style);
    object["param"] = error.param.empty() ? OrderedJson() : OrderedJson(error.param);
    object["code"] = error.code.empty() ? OrderedJson() : OrderedJson(error.code);
    json["error"] = std::move(object);
  }
  // A message may quote what a client sent, in whatever bytes.
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

HttpError http_error_from(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
      return {.status = 400, .message = error.what(), .code = "invalid_value"};
    case ErrorCode::kNotFound: return {.status = 404, .message = error.what(), .code = "not_found"};
    case ErrorCode::kUnsupported:
      return {.status = 501, .message = error.what(), .code = "unsupported"};
    case ErrorCode::kUnavailable:
      return {.status = 503, .message = error.what(), .code = "unavailable", .retry_after_s = 1};
    default: break;
  }
  return {.status = 500,
          .message = "the server failed; its log says more under this request's X-Request-Id",
          .code = "internal_error"};
}

}  // namespace glmoe::serve
