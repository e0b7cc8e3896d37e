// Throwing glmoe::Error with a formatted message. See docs/errors.md for the policy.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

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

// Runs `check`. The rules that flags and files share throw kInvalidArgument; for a value that came
// from a file it becomes kCorrupt, with `what` (file or field) before the message.
template <class F>
void check_from_file(const std::string& what, F&& check) {
  try {
    check();
  } catch (const Error& error) {
    const bool value = error.code() == ErrorCode::kInvalidArgument;
    throw Error(value ? ErrorCode::kCorrupt : error.code(), what + ": " + error.what());
  }
}

// "a; b; c; and 17 more": everything that is wrong with one thing in one line, the first eight in
// full. A list of names is joined with ", ".
std::string join_reasons(const std::vector<std::string>& reasons,
                         std::string_view separator = "; ");

// Throws `code` with "what: reasons" where there are any reasons.
void fail_with_reasons(ErrorCode code, const std::string& what,
                       const std::vector<std::string>& reasons);

}  // namespace glmoe
