#include "base/env.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace glmoe::env {
namespace {

std::string read_string(const char* name, std::string fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::string(value) : std::move(fallback);
}

int64_t read_integer(const char* name, int64_t fallback, int64_t low, int64_t high) {
  const std::string text = read_string(name, "");
  if (text.empty()) return fallback;
  int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    fail_argument("environment variable {}='{}': a whole number from {} to {} was wanted", name,
                  text, low, high);
  }
  return value;
}

Environment read() {
  Environment env;
  env.log_level = read_string("GLMOE_LOG_LEVEL", env.log_level);
  env.num_threads = read_integer("GLMOE_NUM_THREADS", env.num_threads, 0, 4096);
  env.cpu_target = read_string("GLMOE_CPU_TARGET", "");
  env.api_key = read_string("GLMOE_API_KEY", "");
  env.admin_api_key = read_string("GLMOE_ADMIN_API_KEY", "");
  env.fault = parse_fault(read_string("GLMOE_FAULT", ""));
  return env;
}

}  // namespace

const Environment& get() {
  static const Environment env = read();
  return env;
}

}  // namespace glmoe::env
