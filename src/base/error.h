// Throwing glmoe::Error with a formatted message. See docs/errors.md for the policy.
#pragma once

#include <fmt/format.h>

#include "glmoe/error.h"

namespace glmoe {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_argument(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...));
}

// kIo with the operating system's reason for `error_number` (an errno value) appended.
[[noreturn]] void fail_io(int error_number, const std::string& what);

}  // namespace glmoe
