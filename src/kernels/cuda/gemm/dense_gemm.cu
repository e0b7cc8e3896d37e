#include "kernels/cuda/gemm/dense_gemm.h"

#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorCode::kInternal,
              std::string(call) + " failed: " + cublasLtGetStatusName(status));
}
#define GLMOE_CUBLAS(call) check((call), #call)

cudaDataType_t data_type(ElementType type) {
  return type == ElementType::kBf16 ? CUDA_R_16BF : CUDA_R_16F;
}

// The library is column-major: it computes out^T [N, M] = w [N, K] x^T, w^T and x^T being what it
// sees in our rows.
cublasLtMatrixLayout_t layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  GLMOE_CUBLAS(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(cols), stride));
  return made;
}

}  // namespace

struct DenseGemm::Chosen {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  ~Chosen() {
    if (operation != nullptr) (void)cublasLtMatmulDescDestroy(operation);
    for (cublasLtMatrixLayout_t made : {w, x, out}) {
      if (made != nullptr) (void)cublasLtMatrixLayoutDestroy(made);
    }
  }
};

DenseGemm::DenseGemm(void* workspace, size_t workspace_bytes)
    : workspace_(workspace), workspace_bytes_(workspace_bytes) {
  GLMOE_CUBLAS(cublasLtCreate(&handle_));
}

DenseGemm::~DenseGemm() {
  chosen_.clear();
  (void)cublasLtDestroy(handle_);
}

DenseGemm::Chosen& DenseGemm::choose(const DenseGemmParams& p) {
  const int kind =
      (p.type == ElementType::kF16 ? 1 : 0) + (p.wide ? 2 : 0) + (p.bias != nullptr ? 4 : 0);
  const Key key{p.num_rows, p.out_size, p.in_size, p.x_stride, p.out_stride, kind};
  const auto [it, is_new] = chosen_.try_emplace(key);
  Chosen& chosen = it->second;
  if (!is_new) return chosen;
  try {
    const cudaDataType_t type = data_type(p.type);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    GLMOE_CUBLAS(cublasLtMatmulDescCreate(&chosen.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    GLMOE_CUBLAS(cublasLtMatmulDescSetAttribute(chosen.operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                &transposed, sizeof(transposed)));
    if (p.bias != nullptr) {
      const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
      GLMOE_CUBLAS(cublasLtMatmulDescSetAttribute(chosen.operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                  &epilogue, sizeof(epilogue)));
    }
    chosen.w = layout(type, p.in_size, p.out_size, p.in_size);
    chosen.x = layout(type, p.in_size, p.num_rows, p.x_stride);
    chosen.out = layout(p.wide ? CUDA_R_32F : type, p.out_size, p.num_rows, p.out_stride);

    cublasLtMatmulPreference_t preference = nullptr;
    GLMOE_CUBLAS(cublasLtMatmulPreferenceCreate(&preference));
    (void)cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace_bytes_, sizeof(workspace_bytes_));
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, chosen.operation, chosen.w, chosen.x, chosen.out,
                                       chosen.out, preference, 1, &result, &found);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS || found == 0) {
      throw Error(ErrorCode::kInternal,
                  "cuBLASLt has no algorithm for " + std::to_string(p.num_rows) + " x " +
                      std::to_string(p.out_size) + " x " + std::to_string(p.in_size));
    }
    chosen.algorithm = result.algo;
  } catch (...) {
    chosen_.erase(it);
    throw;
  }
  return chosen;
}

void DenseGemm::run(const DenseGemmParams& p, cudaStream_t stream) {
  if (p.num_rows == 0) return;
  if ((p.bias != nullptr && p.wide) || (p.accumulate && !p.wide)) {
    throw Error(ErrorCode::kInternal,
                "dense_gemm: bias goes with a narrow out, accumulate with a wide one");
  }
  Chosen& chosen = choose(p);
  if (p.bias != nullptr) {
    GLMOE_CUBLAS(cublasLtMatmulDescSetAttribute(chosen.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                &p.bias, sizeof(p.bias)));
  }
  const float alpha = 1.0f;
  const float beta = p.accumulate ? 1.0f : 0.0f;
  GLMOE_CUBLAS(cublasLtMatmul(handle_, chosen.operation, &alpha, p.w, chosen.w, p.x, chosen.x,
                              &beta, p.out, chosen.out, p.out, chosen.out, &chosen.algorithm,
                              workspace_, workspace_bytes_, stream));
}

}  // namespace glmoe::cuda
