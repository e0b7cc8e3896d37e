// How a body that cannot be answered leaves the readers: as an exception with the whole HttpError.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

#include "serve/http/http_error.h"

namespace glmoe::serve {

class ApiError : public std::exception {
 public:
  explicit ApiError(HttpError http_error, std::string for_the_log = {})
      : error(std::move(http_error)), log_detail(std::move(for_the_log)) {}
  const char* what() const noexcept override { return error.message.c_str(); }

  HttpError error;         // what the client is told
  std::string log_detail;  // what only the server's log may say; may be empty
};

// Status 400 for the field at `path`: the message is "path: ...", `param` the path. `code` is a
// stable word, such as "invalid_type".
template <class... Args>
[[noreturn]] void fail_field(const std::string& path, const char* code,
                             fmt::format_string<Args...> format, Args&&... args) {
  HttpError error{.status = 400,
                  .message = path + ": " + fmt::format(format, std::forward<Args>(args)...),
                  .code = code,
                  .param = path};
  throw ApiError(std::move(error));
}

}  // namespace glmoe::serve
