// What all connections of one port share: routes, keys, limits, and who is told what happened.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "serve/http/api_keys.h"
#include "serve/http/handler.h"
#include "serve/http/in_flight.h"
#include "serve/http/limits.h"
#include "serve/http/router.h"

namespace glmoe::serve {

// One request as the access log and the counters see it.
struct RequestRecord {
  std::string request_id, key_id, peer, method;
  std::string route;  // the route's pattern; empty: none matched
  std::string path;   // cut to 256 bytes
  int status = 0;     // 499: the client had gone before anything was sent
  double ms = 0.0;    // from the request's head to the answer's last byte
  uint64_t body_bytes = 0;
  std::string error_code;  // of an answer that refuses
  CancelReason cancelled = CancelReason::kNone;
  RequestNotes notes;
};

struct HttpService {
  HttpLimits limits;
  Router router;
  ApiKeys keys;                           // of this port; empty: no key is asked for
  std::vector<std::string> cors_origins;  // "*": any
  std::string server_name = "glmoe";      // the Server header
  InFlight in_flight;
  std::atomic<bool> draining{false};
  std::atomic<int64_t> num_connections{0};
  std::atomic<size_t> buffered_body_bytes{0};  // of all requests that are read or in work
  // Called on any of the strands; must be quick.
  std::function<void(const RequestRecord&)> on_request;
  std::function<void(std::string_view reason)> on_rejected_connection;
};

// What is to be done with a request, decided on its head alone: before a body is read, let alone
// by somebody without a key.
struct Admission {
  const Route* route = nullptr;  // null: answer with `error`, or with the preflight
  std::string path_rest;
  std::string key_id;
  bool preflight = false;  // OPTIONS: 204 with what is allowed
  std::string allow;
  ErrorStyle error_style = ErrorStyle::kOpenAi;
  HttpError error;
};
Admission admit(const HttpService& service, const HttpRequest& request);

// Access-Control-Allow-Origin and Vary for this request's Origin; empty where it is not allowed.
Headers cors_headers(const HttpService& service, const HttpRequest& request);

}  // namespace glmoe::serve
