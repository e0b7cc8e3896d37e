// Between grouped_gemm.cu, which checks, and the files that have the kernels of one type.
#pragma once

#include "kernels/cuda/moe/grouped_gemm.h"

namespace glmoe::cuda {

// num_blocks: the GPU's SMs.
void launch_grouped_gemm_bf16(const GroupedGemmParams& params, int num_blocks, cudaStream_t stream);
void launch_grouped_gemm_f16(const GroupedGemmParams& params, int num_blocks, cudaStream_t stream);

}  // namespace glmoe::cuda
