// Device memory that frees itself: for tests and benches. The engine's memory comes from elsewhere.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda/common/cuda_check.h"

namespace glmoe::cuda {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    GLMOE_CUDA(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) { upload(host); }
  ~DeviceArray() { (void)cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t num_bytes() const { return size_ * sizeof(T); }

  // host.size() must be size().
  void upload(const std::vector<T>& host) {
    GLMOE_CUDA(cudaMemcpy(data_, host.data(), num_bytes(), cudaMemcpyHostToDevice));
  }
  // Waits for the device.
  std::vector<T> download() const {
    std::vector<T> host(size_);
    GLMOE_CUDA(cudaDeviceSynchronize());
    GLMOE_CUDA(cudaMemcpy(host.data(), data_, num_bytes(), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

}  // namespace glmoe::cuda
