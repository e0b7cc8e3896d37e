#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>

#include "base/env.h"
#include "base/error.h"

namespace glmoe::log {

void init() {
  auto logger = std::make_shared<spdlog::logger>(
      "glmoe", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
  set_level(env::get().log_level);
}

void set_level(std::string_view level) {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    fail_argument("log level '{}' is unknown: use trace, debug, info, warn, error or off", level);
  }
  spdlog::set_level(parsed);
}

}  // namespace glmoe::log
