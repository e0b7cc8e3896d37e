// One request from its bytes. The grammar is Boost.Beast's; limits and framing are checked here
// (serve/http/request_head.h), before and beside it.
#pragma once

#include <memory>
#include <string_view>

#include "serve/http/handler.h"
#include "serve/http/limits.h"
#include "serve/http/request_head.h"

namespace glmoe::serve {

class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);  // which outlives it
  ~RequestParser();

  // `head`: all of it, as find_head measured. Fills `request` but for body, peer and ids. Throws
  // RequestProblem.
  void parse_head(std::string_view head, HttpRequest& request);
  const Framing& framing() const { return framing_; }
  int http_minor() const { return http_minor_; }

  // Takes what it can from the front of `data` and returns how much that was; 0 where it needs more
  // than this at once. Throws RequestProblem.
  size_t parse_body(std::string_view data);
  bool body_done() const;
  size_t body_bytes() const;
  std::string take_body();

 private:
  struct Impl;
  const HttpLimits& limits_;
  std::unique_ptr<Impl> impl_;
  Framing framing_;
  int http_minor_ = 1;
  size_t wire_bytes_ = 0;  // of the body as it was sent
};

}  // namespace glmoe::serve
