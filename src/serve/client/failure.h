// What can go wrong with one request to a server, in kinds that can be counted.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace glmoe::serve {

enum class FailureKind {
  kNone,
  kConnect,    // no such host, refused, unreachable, TLS
  kTimeout,    // no answer, or none for too long
  kTruncated,  // the connection ended before the answer did
  kProtocol,   // not HTTP, or not what the end point promises (invalid JSON among it)
  kStatus,     // an HTTP status other than 200
  kServer,     // an error event inside the stream
  kCancelled   // by the client itself
};

// "connect", "timeout", ...: stable names for tables and JSON.
std::string_view failure_kind_name(FailureKind kind);

struct Failure {
  FailureKind kind = FailureKind::kNone;
  std::string message;
  int status = 0;  // HTTP's; 0 where none came
  std::optional<double> retry_after_s = std::nullopt;
};

class RequestFailed : public std::runtime_error {
 public:
  explicit RequestFailed(Failure failure)
      : std::runtime_error(failure.message), failure_(std::move(failure)) {}
  RequestFailed(FailureKind kind, const std::string& message)
      : RequestFailed(Failure{.kind = kind, .message = message}) {}
  const Failure& failure() const { return failure_; }

 private:
  Failure failure_;
};

// The failure that an answer with another status than 200 is. `body`: OpenAI's or Anthropic's
// error JSON, or anything; `retry_after`: the header's value, perhaps empty.
Failure status_failure(int status, std::string_view body, std::string_view retry_after);

}  // namespace glmoe::serve
