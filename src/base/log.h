// Logging to standard error. Level from GLMOE_LOG_LEVEL (base/env) or set_log_level.
#pragma once

#include <spdlog/spdlog.h>

#include <string_view>

namespace glmoe::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Sends log lines to standard error as "LEVEL message"; programs call it once at their start.
void init();
// From then on every line is a JSON object {"time","level",...}: the message's own fields where it
// is one (it begins with '{'), else under "message". For log collectors.
void use_json();
// trace, debug, info, warn, error or off. Throws kInvalidArgument otherwise.
void set_level(std::string_view level);

}  // namespace glmoe::log
