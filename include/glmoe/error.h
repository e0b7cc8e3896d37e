// The one exception that GLMoE throws at its callers.
//
// A message names the thing (file, flag, field), what was wanted, what was found, and what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace glmoe {

enum class ErrorCode {
  kInvalidArgument,  // a flag, field or request is wrong; command-line exit status 2
  kNotFound,         // a file, folder, tensor or preset does not exist
  kIo,               // the operating system refused a read or a write
  kCorrupt,          // a file exists but its content contradicts its format or its checksum
  kUnsupported,      // well-formed, but this build or device does not do it (the reason is named)
  kOutOfMemory,      // does not fit; the message says what is needed and what is there
  kUnavailable,      // the engine is shutting down or overloaded; trying again may help
  kInternal,         // our own mistake: an invariant did not hold
};

// "invalid_argument", "not_found", ...: stable names for logs and APIs.
std::string_view error_code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace glmoe
