// The first 8 bytes are the size of the data, the rest is the header's JSON. Whatever passes must
// tile the data exactly; whatever does not must end in glmoe::Error.
#include <cstring>

#include "base/check.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  uint64_t data_size = 0;
  std::memcpy(&data_size, data, 8);
  const std::string_view json(reinterpret_cast<const char*>(data) + 8, size - 8);
  glmoe::SafetensorsHeader header;
  try {
    header = glmoe::parse_safetensors_header(json, data_size, "fuzz");
  } catch (const glmoe::Error& error) {
    if (error.code() == glmoe::ErrorCode::kInternal) __builtin_trap();
    return 0;
  }
  uint64_t end = 0;
  for (const glmoe::SafetensorsEntry& entry : header.entries) {
    const auto bytes =
        static_cast<uint64_t>(entry.shape.num_elements()) * glmoe::dtype_size(entry.dtype);
    if (entry.begin != end || entry.end - entry.begin != bytes) __builtin_trap();
    end = entry.end;
  }
  if (end != data_size) __builtin_trap();
  return 0;
}
