// The checks that the attention kernels open with, on the host.
#pragma once

#include <climits>
#include <cstdint>
#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {

[[noreturn]] inline void refuse_attention(const char* op, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, std::string(op) + ": " + what);
}

inline void check_attention_pointer(const char* op, const char* name, const void* pointer,
                                    uintptr_t alignment) {
  if (pointer == nullptr) {
    refuse_attention(op, std::string(name) + " is null: wanted device memory");
  }
  if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
    refuse_attention(op, std::string(name) + " is not aligned to " + std::to_string(alignment) +
                             " bytes: give it the start of a buffer");
  }
}

inline void check_attention_shape(const char* op, ElementType type, const AttentionHeads& heads,
                                  const PagedKv& kv) {
  if (type != ElementType::kBf16 && type != ElementType::kF16) {
    refuse_attention(op, std::string("type is ") + element_name(type) +
                             ", wanted bfloat16 or float16: convert qkv and the cache");
  }
  if (heads.num_kv_heads < 1 || heads.num_heads < 1 || heads.num_heads % heads.num_kv_heads != 0 ||
      heads.num_heads > 1024) {
    refuse_attention(op, "num_heads is " + std::to_string(heads.num_heads) +
                             ", wanted a multiple of num_kv_heads " +
                             std::to_string(heads.num_kv_heads) + " from 1 to 1024");
  }
  if (heads.head_dim != 128) {
    refuse_attention(op, "head_dim is " + std::to_string(heads.head_dim) +
                             ", wanted 128: the kernels are written for GLM-4 MoE's heads alone");
  }
  const int page = kv.tokens_per_block;
  if (page != 16 && page != 32 && page != 64 && page != 128) {
    refuse_attention(op, "tokens_per_block is " + std::to_string(page) +
                             ", wanted 16, 32, 64 or 128: set another block size of the cache");
  }
  const int64_t rows = int64_t{2} * heads.num_kv_heads * page;
  if (kv.num_blocks < 1 || kv.num_blocks > INT_MAX / rows) {
    refuse_attention(op, "num_blocks is " + std::to_string(kv.num_blocks) + ", wanted 1 to " +
                             std::to_string(INT_MAX / rows) + " at tokens_per_block " +
                             std::to_string(page));
  }
  check_attention_pointer(op, "kv.blocks", kv.blocks, 128);
}

// Of the current device.
inline int num_multiprocessors() {
  int device = 0, count = 0;
  GLMOE_CUDA(cudaGetDevice(&device));
  GLMOE_CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

}  // namespace glmoe::cuda
