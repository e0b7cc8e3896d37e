// What an end point sees of HTTP: a request that was read whole and checked, a writer for its
// answer, and the table that says which end point answers what. Nothing here knows sockets.
//
// A handler is a coroutine on its connection's strand. It may wait (AsyncEvent) but must not
// block; long work goes to the workers (serve/http/offload.h). Everything is called on the strand.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http/http_error.h"

namespace glmoe::serve {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;      // "POST"
  std::string path;        // as sent, without the query; never empty
  std::string path_rest;   // what the route's "*" matched
  std::string query;       // without the "?"
  Headers headers;         // names in lower case, values trimmed, in the order of the request
  std::string body;        // at most the limit's bytes, never content-encoded
  std::string peer;        // "127.0.0.1", "::1", "unix"
  std::string request_id;  // the client's X-Request-Id if it is a plain one, else our own
  std::string key_id;      // short digest of the API key that was used; empty without keys

  // The first header of this (lower-case) name; empty if there is none.
  std::string_view header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

// What the line of the access log says beside what HTTP knows; handlers fill it in.
struct RequestNotes {
  std::string model_request_ids;  // the engine's, joined with ","
  int64_t prompt_tokens = -1;     // -1: not known, left out
  int64_t cached_tokens = -1;
  int64_t completion_tokens = -1;
  std::string finish_reason;
};

enum class CancelReason {
  kNone,
  kClientGone,   // closed, reset, or cut off because it does not read
  kShutdown,     // the server's time for draining is over: end with an error
  kAdminRequest  // POST /admin/cancel
};

// The answer to one request: either one send(), or begin_events() ... end_events(). After the
// client has gone every call is accepted and does nothing.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  // The whole answer. Content-Length, Date, X-Request-Id and CORS headers are added.
  virtual void send(int status, std::string_view content_type, std::string body,
                    const Headers& extra = {}) = 0;
  // The same in the error form of the route (OpenAI's or Anthropic's).
  virtual void send_error(const HttpError& error) = 0;

  // Server-sent events. event() only appends; flush() starts to send what was appended, so that
  // the events of one step leave together. `data` must hold no line breaks.
  virtual void begin_events(const Headers& extra = {}) = 0;
  virtual void event(std::string_view data) = 0;                         // data: ...
  virtual void event(std::string_view name, std::string_view data) = 0;  // event: name, data: ...
  virtual void comment(std::string_view text) = 0;                       // ": ...", a keep-alive
  virtual void flush() = 0;
  virtual void end_events() = 0;  // flushes

  virtual bool started() const = 0;  // something was sent or begun
  // Why the answer is not wanted any more; kNone while it is. `callback` is called once, on the
  // strand, at once if it has happened; nullptr removes it.
  virtual CancelReason cancelled() const = 0;
  virtual void on_cancel(std::function<void()> callback) = 0;

  virtual RequestNotes& notes() = 0;
};

using Handler = std::function<boost::asio::awaitable<void>(const HttpRequest&, ResponseWriter&)>;

enum class Access {
  kPublic,  // no key needed: liveness and readiness
  kApi,     // an API key, where any is set
  kAdmin    // the admin key, where one is set; only on the admin port
};

struct Route {
  std::string method;  // GET routes answer HEAD too
  std::string path;    // exact; a last "*" matches any non-empty rest
  Access access = Access::kApi;
  Handler handler;
  ErrorStyle error_style = ErrorStyle::kOpenAi;
  bool refused_while_draining = false;  // true for what starts a generation
};

}  // namespace glmoe::serve
