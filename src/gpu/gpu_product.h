// A matrix product of the forward pass by either of the two kernels that can do it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "gpu/gpu_weights.h"
#include "kernels/cuda/gemm/dense_gemm.h"
#include "kernels/cuda/gemm/stream_gemm.h"

namespace glmoe {

// out [T, N] of what the epilogue says (stream_gemm.h) = x [T, K] w^T; rows of x are dense.
struct GpuProduct {
  const void* x = nullptr;
  GpuMatrix w;
  void* out = nullptr;
  int num_rows = 0;  // T
  cuda::StreamEpilogue epilogue = cuda::StreamEpilogue::kStore;
  int64_t out_stride = 0;         // 0: rows of out are dense
  const float* bias = nullptr;    // [N] or nullptr
  const void* bias_16 = nullptr;  // the same in the weights' type
};

// By the weight-streaming kernel.
void launch_streamed_product(const GpuProduct& product, cuda::ElementType type, int num_sms,
                             cudaStream_t stream);
// By cuBLASLt, for kSwiglu with a second kernel; `scratch` is then [T, N] of the weights' type, F32
// to kMaxWideRows.
void launch_library_product(const GpuProduct& product, cuda::ElementType type,
                            cuda::DenseGemm& gemm, void* scratch, cudaStream_t stream);

}  // namespace glmoe
