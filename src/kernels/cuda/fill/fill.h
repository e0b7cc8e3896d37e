// Numbers made on the device: random weights for benches, and constants.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/common/element_type.h"

namespace glmoe::cuda {

// out[i] uniform in (-half, half), a function of (seed, i) alone. 16-byte aligned.
void launch_fill_random(void* out, ElementType type, int64_t count, float half, uint64_t seed,
                        cudaStream_t stream);
void launch_fill_constant(float* out, int64_t count, float value, cudaStream_t stream);

// out[i] = rows[index[i]], rows of `width` floats (a multiple of 4).
void launch_gather_rows(const float* rows, const int32_t* index, float* out, int num_rows,
                        int width, cudaStream_t stream);

}  // namespace glmoe::cuda
