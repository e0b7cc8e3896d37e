// An answer that refuses: status, and the error object in the form of the API that was called.
#pragma once

#include <string>
#include <string_view>

#include "glmoe/error.h"

namespace glmoe::serve {

enum class ErrorStyle { kOpenAi, kAnthropic };

struct HttpError {
  int status = 400;
  std::string message;
  std::string code;       // a stable word such as "body_too_large"; empty: null
  std::string param;      // the offending field's path, such as "messages[2].content"; empty: null
  int retry_after_s = 0;  // > 0: a Retry-After header
  std::string extra_allow;  // with 405: the Allow header
};

// {"error":{"message","type","param","code"}}, or {"type":"error","error":{"type","message"}}.
// `type` follows from the status (400 invalid_request_error, 401 authentication_error, ...).
std::string error_body(const HttpError& error, ErrorStyle style);
// The word for `type` in either form.
std::string_view error_type(int status, ErrorStyle style);

// What an engine's error means for a client: kInvalidArgument 400, kUnavailable 503 (429 where the
// queue is full), kNotFound 404, kUnsupported 501, all others 500 without their text, which may
// name paths.
HttpError http_error_from(const Error& error);

}  // namespace glmoe::serve
