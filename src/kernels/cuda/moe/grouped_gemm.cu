#include "kernels/cuda/moe/grouped_gemm.h"

#include <algorithm>
#include <climits>

#include "kernels/cuda/common/cuda_check.h"
#include "kernels/cuda/moe/grouped_gemm_types.h"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {
namespace {

constexpr int kMaxExperts = 1032;

void check_params(const GroupedGemmParams& p) {
  const ParamChecks checks("grouped_gemm");
  const bool silu_mul = p.epilogue == GroupedGemmEpilogue::kSiluMul;
  if (p.type == ElementType::kF32) checks.refuse("type is float32, wanted bfloat16 or float16");
  if (p.y_type != p.type && (silu_mul || p.y_type != ElementType::kF32)) {
    checks.refuse(std::string("y_type is ") + element_name(p.y_type) + ", wanted " +
                  element_name(p.type) + (silu_mul ? "" : " or float32"));
  }
  checks.in_range("max_rows", p.max_rows, 0, INT_MAX / 2);
  checks.in_range("num_experts", p.num_experts, 1, kMaxExperts);
  checks.multiple_of("n", p.n, silu_mul ? 16 : 8);
  checks.multiple_of("k", p.k, 8);
  if (p.max_rows == 0) return;
  checks.pointer("x", p.x, 16);
  checks.pointer("weight", p.weight, 16);
  checks.pointer("y", p.y, 16);
  checks.pointer("expert_offsets", p.expert_offsets, 4);
}

}  // namespace

void launch_grouped_gemm(const GroupedGemmParams& params, cudaStream_t stream) {
  check_params(params);
  if (params.max_rows == 0) return;
  int device = 0, num_sms = 0;
  GLMOE_CUDA(cudaGetDevice(&device));
  GLMOE_CUDA(cudaDeviceGetAttribute(&num_sms, cudaDevAttrMultiProcessorCount, device));
  if (params.type == ElementType::kBf16) {
    launch_grouped_gemm_bf16(params, num_sms, stream);
  } else {
    launch_grouped_gemm_f16(params, num_sms, stream);
  }
}

}  // namespace glmoe::cuda
