// JSON text to template values, with the order of keys kept.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/value.h"

namespace glmoe::jinja {

// Strict: duplicate keys, whole numbers beyond 64 bits (which would not print as they were),
// nesting deeper than 64 and invalid UTF-8 are refused. Throws kInvalidArgument naming `what`.
Value value_from_json(std::string_view text, const std::string& what);

}  // namespace glmoe::jinja
