#include "serve/client/failure.h"

#include <fmt/format.h>

#include <charconv>

#include "base/json.h"
#include "serve/client/chunk.h"

namespace glmoe::serve {

std::string_view failure_kind_name(FailureKind kind) {
  switch (kind) {
    case FailureKind::kNone: return "none";
    case FailureKind::kConnect: return "connect";
    case FailureKind::kTimeout: return "timeout";
    case FailureKind::kTruncated: return "truncated";
    case FailureKind::kProtocol: return "protocol";
    case FailureKind::kStatus: return "status";
    case FailureKind::kServer: return "server";
    case FailureKind::kCancelled: return "cancelled";
  }
  return "unknown";
}

Failure status_failure(int status, std::string_view body, std::string_view retry_after) {
  Failure failure{.kind = FailureKind::kStatus, .message = {}, .status = status};
  double seconds = 0.0;
  const auto [end, problem] =
      std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  if (problem == std::errc() && end == retry_after.data() + retry_after.size() && seconds >= 0.0) {
    failure.retry_after_s = seconds;  // the header may also be a date, which is shown to nobody
  }
  std::string said = error_text(Json::parse(body, nullptr, /*allow_exceptions=*/false));
  if (said.empty()) said = first_line(body, 200);
  failure.message =
      fmt::format("the server answered {}{}{}", status, said.empty() ? "" : ": ", said);
  return failure;
}

}  // namespace glmoe::serve
