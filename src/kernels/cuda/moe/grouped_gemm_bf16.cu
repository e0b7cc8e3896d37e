#include "kernels/cuda/moe/grouped_gemm_kernel.cuh"
#include "kernels/cuda/moe/grouped_gemm_types.h"

namespace glmoe::cuda {

void launch_grouped_gemm_bf16(const GroupedGemmParams& params, int num_blocks,
                              cudaStream_t stream) {
  launch_grouped_gemm_of<__nv_bfloat16>(params, num_blocks, stream);
}

}  // namespace glmoe::cuda
