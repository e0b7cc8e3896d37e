// What must hold of a request's head before anything else reads it. Pure functions over text: they
// are stricter than HTTP asks, so that no proxy in front can read a request in another way.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http/handler.h"
#include "serve/http/limits.h"

namespace glmoe::serve {

// Thrown while a request is read: the answer, after which the connection is closed.
struct RequestProblem {
  HttpError error;
};

// Looks for the end of the head ("\r\n\r\n") in what has arrived so far. Returns its length with
// the empty line, nullopt if more is needed. Throws RequestProblem 431, 414 or 400 as soon as what
// is there breaks a limit, holds a NUL, a bare line feed or a folded line.
std::optional<size_t> find_head(std::string_view text, const HttpLimits& limits);

// How the body's end is found.
struct Framing {
  bool chunked = false;
  size_t content_length = 0;
  bool expects_continue = false;
  bool keep_alive = true;
};

// Checks Content-Length, Transfer-Encoding, Content-Encoding, Host, Expect and Connection.
// `http_minor`: 0 or 1. Throws RequestProblem 400, 413, 415, 417.
Framing check_framing(const Headers& headers, int http_minor, const HttpLimits& limits);

// "/v1/models?x=1" or "http://host/v1/models?x=1" -> path and query. Throws RequestProblem 400.
void split_target(std::string_view target, std::string& path, std::string& query);

// The client's id if it is 1 to 128 of [A-Za-z0-9._-], else a new random one.
std::string request_id_from(std::string_view client_id);

}  // namespace glmoe::serve
