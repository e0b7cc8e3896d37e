// Hand-made safetensors bytes.
#pragma once

#include <string>

namespace glmoe::testing {

inline std::string length_prefix(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i) & 0xff));
  return bytes;
}

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return length_prefix(header.size()) + header + data;
}

// One F32 tensor of two numbers.
inline std::string one_tensor(const std::string& name) {
  return safetensors_bytes(
      R"({")" + name + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "abcdefgh");
}

}  // namespace glmoe::testing
