#include "base/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace glmoe {

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid_argument";
    case ErrorCode::kNotFound: return "not_found";
    case ErrorCode::kIo: return "io";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kOutOfMemory: return "out_of_memory";
    case ErrorCode::kUnavailable: return "unavailable";
    case ErrorCode::kInternal: return "internal";
  }
  return "internal";
}

void fail_io(int error_number, const std::string& what) {
  const ErrorCode code = error_number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo;
  throw Error(code, what + ": " + std::system_category().message(error_number));
}

std::string join_reasons(const std::vector<std::string>& reasons, std::string_view separator) {
  constexpr size_t kShown = 8;
  const auto shown = static_cast<std::ptrdiff_t>(std::min(reasons.size(), kShown));
  std::string text =
      fmt::format("{}", fmt::join(reasons.begin(), reasons.begin() + shown, separator));
  if (reasons.size() > kShown)
    text += fmt::format("{}and {} more", separator, reasons.size() - kShown);
  return text;
}

void fail_with_reasons(ErrorCode code, const std::string& what,
                       const std::vector<std::string>& reasons) {
  if (!reasons.empty()) fail(code, "{}: {}", what, join_reasons(reasons));
}

}  // namespace glmoe
