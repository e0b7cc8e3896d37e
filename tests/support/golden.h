// The random tiny models with Hugging Face's logits, and the demo model's recorded answers.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace glmoe::testing {

inline const std::vector<std::string>& golden_names() {
  static const std::vector<std::string> names = {"air",    "large", "grouped",
                                                 "nonorm", "tied",  "fullrope"};
  return names;
}

inline std::string golden_folder(const std::string& name) {
  return std::string(GLMOE_TEST_DATA) + "/goldens/" + name;
}

inline std::string demo_folder() { return std::string(GLMOE_MODELS) + "/glm4-moe-demo"; }

struct Golden {
  std::vector<std::vector<int32_t>> input_ids;   // [3][33]
  std::vector<float> logits;                     // [3, 33, V]
  std::vector<std::vector<int32_t>> greedy_ids;  // [3][36]: 12 given, 24 generated
};

inline std::vector<std::vector<int32_t>> id_rows(const HostTensor& tensor) {
  std::vector<std::vector<int32_t>> rows(static_cast<size_t>(tensor.shape[0]));
  const auto width = static_cast<size_t>(tensor.shape[1]);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].resize(width);
    std::memcpy(rows[i].data(), tensor.bytes.data() + i * width * 4, width * 4);
  }
  return rows;
}

inline std::vector<float> floats(const HostTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.num_elements()));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

inline Golden read_golden(const std::string& name) {
  const SafetensorsFile file(golden_folder(name) + "/reference.safetensors");
  return {id_rows(file.tensor("input_ids")), floats(file.tensor("logits")),
          id_rows(file.tensor("greedy_ids"))};
}

// ||a - b|| / ||b|| in double; NaN where either holds one.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::nan("");
  double difference = 0.0, norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double delta = static_cast<double>(a[i]) - b[i];
    difference += delta * delta;
    norm += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(difference / norm);
}

inline std::vector<float> flatten(const std::vector<std::vector<float>>& rows) {
  std::vector<float> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

}  // namespace glmoe::testing
