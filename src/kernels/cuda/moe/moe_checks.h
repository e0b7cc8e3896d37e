// Checks that the launch functions of this folder share.
#pragma once

#include <cstdint>
#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {

// Names the op in every refusal.
class ParamChecks {
 public:
  explicit ParamChecks(const char* op) : op_(op) {}

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ErrorCode::kInvalidArgument, std::string(op_) + ": " + what);
  }
  void in_range(const char* name, int64_t value, int64_t low, int64_t high) const {
    if (value >= low && value <= high) return;
    refuse(std::string(name) + " is " + std::to_string(value) + ", wanted " + std::to_string(low) +
           " to " + std::to_string(high));
  }
  // From `step` on.
  void multiple_of(const char* name, int64_t value, int64_t step) const {
    if (value > 0 && value % step == 0) return;
    refuse(std::string(name) + " is " + std::to_string(value) + ", wanted a positive multiple of " +
           std::to_string(step));
  }
  void pointer(const char* name, const void* pointer, uintptr_t alignment) const {
    if (pointer == nullptr) refuse(std::string(name) + " is null: wanted device memory");
    if (reinterpret_cast<uintptr_t>(pointer) % alignment == 0) return;
    refuse(std::string(name) + " is not aligned to " + std::to_string(alignment) +
           " bytes: give it the start of a buffer");
  }
  void workspace(const void* memory, size_t bytes, size_t wanted, uintptr_t alignment) const {
    if (wanted == 0) return;
    pointer("workspace", memory, alignment);
    if (bytes >= wanted) return;
    refuse("workspace has " + std::to_string(bytes) + " bytes, wanted " + std::to_string(wanted));
  }

 private:
  const char* op_;
};

// Lets a kernel have that much dynamic shared memory, where it is more than any may.
inline void allow_shared(const void* kernel, size_t bytes) {
  constexpr size_t kAlwaysAllowed = 48 * 1024;
  if (bytes <= kAlwaysAllowed) return;
  GLMOE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)));
}

}  // namespace glmoe::cuda
