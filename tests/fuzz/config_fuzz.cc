// config.json from outside: whatever is accepted must write itself and read back equal.
#include "base/error.h"
#include "spec/config_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  glmoe::Glm4MoeConfig config;
  try {
    config = glmoe::config_from_json(glmoe::parse_json(text, "fuzz"), "fuzz");
  } catch (const glmoe::Error& error) {
    if (error.code() == glmoe::ErrorCode::kInternal) __builtin_trap();
    return 0;
  }
  // Not caught: a configuration that was accepted must be accepted again.
  if (!(glmoe::config_from_json(glmoe::config_to_json(config), "again") == config)) {
    __builtin_trap();
  }
  return 0;
}
