#include "kernels/cuda/common/tensor_map.h"

#include <cuda_runtime_api.h>

#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// Asked of the driver at run time, so that the program starts where there is none.
Encode encode_function() {
  static const Encode function = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    GLMOE_CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                cudaEnableDefault, &result));
    if (found == nullptr || result != cudaDriverEntryPointSuccess) {
      throw Error(ErrorCode::kUnavailable,
                  "the NVIDIA driver has no cuTensorMapEncodeTiled: update the driver");
    }
    return reinterpret_cast<Encode>(found);
  }();
  return function;
}

}  // namespace

CUtensorMap make_tensor_map(const void* data, ElementType type, std::array<int64_t, 3> sizes,
                            std::array<int64_t, 2> strides, std::array<int, 3> box) {
  CUtensorMap map;
  cuuint64_t dims[3], byte_strides[2];
  cuuint32_t box_dims[3];
  const cuuint32_t steps[3] = {1, 1, 1};
  for (size_t i = 0; i < 3; ++i) {
    dims[i] = static_cast<cuuint64_t>(sizes[i]);
    box_dims[i] = static_cast<cuuint32_t>(box[i]);
  }
  for (size_t i = 0; i < 2; ++i) byte_strides[i] = static_cast<cuuint64_t>(strides[i]) * 2;
  const CUtensorMapDataType data_type = type == ElementType::kBf16
                                            ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const CUresult status =
      encode_function()(&map, data_type, 3, const_cast<void*>(data), dims, byte_strides, box_dims,
                        steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw Error(ErrorCode::kInternal,
                "cuTensorMapEncodeTiled refused a tensor of " + std::to_string(sizes[0]) + " x " +
                    std::to_string(sizes[1]) + " x " + std::to_string(sizes[2]) + ": status " +
                    std::to_string(static_cast<int>(status)));
  }
  return map;
}

}  // namespace glmoe::cuda
