// Matrix products with many rows of activations, by cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// out = x w^T (+ bias); x [M, K] and w [N, K] of `type`, 16-byte aligned device memory. Sums in
// F32.
struct DenseGemmParams {
  const void* x = nullptr;
  const void* w = nullptr;
  void* out = nullptr;         // [M, N] of `type`, or F32 with `wide`
  const void* bias = nullptr;  // [N] of `type` or nullptr; not with `wide`
  ElementType type = ElementType::kBf16;
  bool wide = false;        // out is F32
  bool accumulate = false;  // out += instead of out =; only with `wide`
  int64_t num_rows = 0;     // M
  int64_t out_size = 0;     // N
  int64_t in_size = 0;      // K
  int64_t x_stride = 0;     // elements from one row to the next
  int64_t out_stride = 0;
};

// Holds the library's handle and, for each shape that it has met, the algorithm chosen for it. One
// thread at a time; products of one object run on one stream at a time, since they share the
// workspace (device memory that the caller owns).
class DenseGemm {
 public:
  DenseGemm(void* workspace, size_t workspace_bytes);
  ~DenseGemm();
  DenseGemm(const DenseGemm&) = delete;
  DenseGemm& operator=(const DenseGemm&) = delete;

  // Enqueues it. Throws Error{kInternal} naming the shape where the library refuses it.
  void run(const DenseGemmParams& params, cudaStream_t stream);

 private:
  struct Chosen;
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int>;
  Chosen& choose(const DenseGemmParams& params);

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  size_t workspace_bytes_;
  std::map<Key, Chosen> chosen_;
};

}  // namespace glmoe::cuda
