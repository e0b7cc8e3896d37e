#include "kernels/cuda/common/cuda_check.h"

#include "harness.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;

ErrorCode code_of(cudaError_t status) {
  try {
    check(status, "call()", "file.cu", 7);
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kNotFound;  // not thrown by anything here
}

CUDA_TEST(AFailureNamesTheCallThePlaceAndCudasReason) {
  expect_refused([] { check(cudaErrorNotReady, "call()", "file.cu", 7); },
                 "call() at file.cu:7 failed: cudaErrorNotReady (");
}

CUDA_TEST(CodesSayWhoIsWrong) {
  expect(code_of(cudaErrorMemoryAllocation) == ErrorCode::kOutOfMemory, "memory");
  expect(code_of(cudaErrorNoKernelImageForDevice) == ErrorCode::kUnsupported, "image");
  expect(code_of(cudaErrorInvalidConfiguration) == ErrorCode::kInternal, "configuration");
  expect(code_of(cudaErrorECCUncorrectable) == ErrorCode::kUnavailable, "ECC");
}

CUDA_TEST(AFailedCallIsNotBlamedOnTheNextOne) {
  void* pointer = nullptr;
  // More memory than any GPU has.
  expect_refused([&] { GLMOE_CUDA(cudaMalloc(&pointer, size_t{1} << 50)); }, "cudaMalloc");
  expect(cudaGetLastError() == cudaSuccess, "the error is still there");
}

}  // namespace
}  // namespace glmoe::cuda
