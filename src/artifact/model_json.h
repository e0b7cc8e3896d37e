// The JSON objects that converted folders and manifests share.
#pragma once

#include <string>

#include "base/json.h"
#include "glmoe/mapping.h"

namespace glmoe {

Json mapping_to_json(const Mapping& mapping);
// Resolved. Throws kCorrupt naming `what` and the field.
Mapping mapping_from_json(const JsonReader& reader);

}  // namespace glmoe
