#include "device/gpu_info.h"

#ifdef GLMOE_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace glmoe {

#ifdef GLMOE_WITH_CUDA
namespace {

// 13000 -> "13.0".
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string status_text(const char* call, cudaError_t status) {
  return std::string(call) + " failed: " + cudaGetErrorName(status) + " (" +
         cudaGetErrorString(status) + ")";
}

std::string no_device_reason(cudaError_t status, int driver, int runtime) {
  if (driver == 0) {
    return "no NVIDIA driver on this machine (libcuda.so.1 was not found or did not load)";
  }
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver serves CUDA up to " + version_text(driver) + ", this build needs " +
           version_text(runtime) + ": update the driver";
  }
  if (status == cudaErrorNoDevice || status == cudaSuccess) {
    return "the NVIDIA driver finds no GPU (is CUDA_VISIBLE_DEVICES empty?)";
  }
  return status_text("cudaGetDeviceCount", status);
}

// Fills `info` for the device `index`; the first failing call's status and name.
cudaError_t describe(int index, GpuInfo& info, const char*& call) {
  cudaDeviceProp properties{};
  call = "cudaGetDeviceProperties";
  cudaError_t status = cudaGetDeviceProperties(&properties, index);
  if (status != cudaSuccess) return status;
  call = "cudaSetDevice";
  status = cudaSetDevice(index);
  if (status != cudaSuccess) return status;
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  call = "cudaMemGetInfo";
  status = cudaMemGetInfo(&free_bytes, &total_bytes);
  if (status != cudaSuccess) return status;
  info.index = index;
  info.name = properties.name;
  info.compute_major = properties.major;
  info.compute_minor = properties.minor;
  info.sm_count = properties.multiProcessorCount;
  info.memory_bytes = static_cast<int64_t>(total_bytes);
  info.free_bytes = static_cast<int64_t>(free_bytes);
  return cudaSuccess;
}

// The devices [0, count); those that do not answer are left out and named in `reason`.
GpuQuery describe_all(int count, int driver, int runtime) {
  GpuQuery query;
  std::string failures;
  for (int index = 0; index < count; ++index) {
    GpuInfo info;
    const char* call = "";
    const cudaError_t status = describe(index, info, call);
    if (status != cudaSuccess) {
      failures += (failures.empty() ? "GPU " : "; GPU ") + std::to_string(index) + ": " +
                  status_text(call, status);
      continue;
    }
    info.driver_version = version_text(driver);
    info.runtime_version = version_text(runtime);
    query.gpus.push_back(info);
  }
  if (query.gpus.empty()) query.reason = failures;
  return query;
}

}  // namespace

GpuQuery query_gpus() {
  int driver = 0;
  int runtime = 0;
  (void)cudaDriverGetVersion(&driver);  // stays 0 where no driver is installed
  (void)cudaRuntimeGetVersion(&runtime);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  GpuQuery query;
  if (status != cudaSuccess || count == 0) {
    query.reason = no_device_reason(status, driver, runtime);
  } else {
    int current = 0;
    const bool known = cudaGetDevice(&current) == cudaSuccess;
    query = describe_all(count, driver, runtime);
    if (known) (void)cudaSetDevice(current);
  }
  (void)cudaGetLastError();  // a later kernel launch must not be blamed for what failed here
  return query;
}

#else

GpuQuery query_gpus() {
  return {.gpus = {}, .reason = "this build has no CUDA: build it where nvcc is installed"};
}

#endif

std::string why_no_gpu() { return query_gpus().reason; }

}  // namespace glmoe
