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

template <size_t kRank>
CUtensorMap encode(const void* data, ElementType type, const std::array<int64_t, kRank>& sizes,
                   const std::array<int64_t, kRank - 1>& strides,
                   const std::array<int, kRank>& box) {
  CUtensorMap map;
  cuuint64_t dims[kRank], byte_strides[kRank - 1];
  cuuint32_t box_dims[kRank], steps[kRank];
  std::string shape;
  for (size_t i = 0; i < kRank; ++i) {
    dims[i] = static_cast<cuuint64_t>(sizes[i]);
    box_dims[i] = static_cast<cuuint32_t>(box[i]);
    steps[i] = 1;
    shape += (i == 0 ? "" : " x ") + std::to_string(sizes[i]);
  }
  for (size_t i = 0; i + 1 < kRank; ++i) byte_strides[i] = static_cast<cuuint64_t>(strides[i]) * 2;
  const CUtensorMapDataType data_type = type == ElementType::kBf16
                                            ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const CUresult status =
      encode_function()(&map, data_type, kRank, const_cast<void*>(data), dims, byte_strides,
                        box_dims, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw Error(ErrorCode::kInternal, "cuTensorMapEncodeTiled refused a tensor of " + shape +
                                          ": status " + std::to_string(static_cast<int>(status)));
  }
  return map;
}

}  // namespace

CUtensorMap make_tensor_map(const void* data, ElementType type, std::array<int64_t, 3> sizes,
                            std::array<int64_t, 2> strides, std::array<int, 3> box) {
  return encode<3>(data, type, sizes, strides, box);
}

CUtensorMap make_tensor_map_5d(const void* data, ElementType type, std::array<int64_t, 5> sizes,
                               std::array<int64_t, 4> strides, std::array<int, 5> box) {
  return encode<5>(data, type, sizes, strides, box);
}

}  // namespace glmoe::cuda
