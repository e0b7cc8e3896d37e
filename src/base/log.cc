#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <memory>
#include <string>

#include "base/env.h"
#include "base/error.h"
#include "base/json.h"

namespace glmoe::log {
namespace {

// The part of a JSON line that the message gives: its fields, or itself as "message", and the end.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& entry, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string_view text(entry.payload.data(), entry.payload.size());
    std::string quoted;
    if (text.starts_with('{')) {
      text.remove_prefix(1);
    } else {
      quoted = "\"message\":" +
               Json(std::string(text)).dump(-1, ' ', true, Json::error_handler_t::replace) + "}";
      text = quoted;
    }
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

}  // namespace

void init() {
  auto logger = std::make_shared<spdlog::logger>(
      "glmoe", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%^%l%$ %v");
  spdlog::set_default_logger(std::move(logger));
  set_level(env::get().log_level);
}

void use_json() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonMessage>('*');
  formatter->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%*)");
  spdlog::set_formatter(std::move(formatter));
}

void set_level(std::string_view level) {
  const auto parsed = spdlog::level::from_str(std::string(level));
  if (parsed == spdlog::level::off && level != "off") {
    fail_argument("log level '{}' is unknown: use trace, debug, info, warn, error or off", level);
  }
  spdlog::set_level(parsed);
}

}  // namespace glmoe::log
