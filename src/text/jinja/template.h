// A Jinja template: parsed once, rendered any number of times, from any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace glmoe::jinja {

class Template {
 public:
  // `what` names the template in messages. Throws kCorrupt for a syntax error, kUnsupported for a
  // construct that is left out, both with the line.
  Template(std::string_view source, std::string what);
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // Throws kInvalidArgument, with template and line, where the template raises an exception, does
  // something that Python would refuse, or passes a limit; kUnsupported for a filter, a test or an
  // option that is left out.
  std::string render(const std::vector<std::pair<std::string, Value>>& variables,
                     const Limits& limits = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe::jinja
