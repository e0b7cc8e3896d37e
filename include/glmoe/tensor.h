// Numbers in memory that others may read without a copy: what the engine hands out, and weights
// that a caller lends it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace glmoe {

enum class ElementKind { kFloat32, kBfloat16, kFloat16 };

// Row-major and dense. The memory lives as long as some copy of `owner` does; where that is null,
// the caller sees to it.
struct Tensor {
  void* data = nullptr;
  ElementKind kind = ElementKind::kFloat32;
  std::vector<int64_t> shape;
  int device = kCpu;  // kCpu, or the number of the GPU whose memory it is
  std::shared_ptr<const void> owner;

  static constexpr int kCpu = -1;
};

// One of a model's tensors under its Hugging Face name ("model.layers.0.input_layernorm.weight").
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

}  // namespace glmoe
