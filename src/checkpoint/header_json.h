// Strict JSON for headers of many thousand small objects, in linear time.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace glmoe {

// As parse_json, and as strict: duplicate keys, trailing text, invalid UTF-8 and more than
// `max_depth` nested objects or lists are refused. Its time is linear in the text; nlohmann's
// parser with a callback looks through all members of the parent whenever an object ends.
Json parse_header_json(std::string_view text, const std::string& what, int max_depth);

}  // namespace glmoe
