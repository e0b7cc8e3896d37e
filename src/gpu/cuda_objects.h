// Owners of what the CUDA runtime hands out: memory, streams, events, graphs. Move-only or fixed.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/common/cuda_check.h"

namespace glmoe {

// Device memory. Throws kOutOfMemory naming `what`, its size and what is free.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(size_t num_bytes, const char* what) : size_(num_bytes) {
    if (num_bytes == 0 || cudaMalloc(&data_, num_bytes) == cudaSuccess) return;
    (void)cudaGetLastError();
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    GLMOE_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
    fail(ErrorCode::kOutOfMemory,
         "{} takes {} MiB of GPU memory, and {} of {} MiB are free: lower max_num_tokens, "
         "max_batch_size or the KV cache, or take a larger GPU (glmoe plan shows every part)",
         what, num_bytes >> 20, free_bytes >> 20, total_bytes >> 20);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceBuffer() { (void)cudaFree(data_); }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Host memory that the copy engine reads and writes while the host goes on.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t num_bytes) : size_(num_bytes) {
    GLMOE_CUDA(cudaMallocHost(&data_, num_bytes));
  }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  ~PinnedBuffer() { (void)cudaFreeHost(data_); }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  void* data_ = nullptr;
  size_t size_;
};

class CudaStream {
 public:
  CudaStream() { GLMOE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() { (void)cudaStreamDestroy(stream_); }

  cudaStream_t get() const { return stream_; }
  void synchronize() const { GLMOE_CUDA(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaEvent {
 public:
  CudaEvent() { GLMOE_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  ~CudaEvent() { (void)cudaEventDestroy(event_); }

  void record(cudaStream_t stream) const { GLMOE_CUDA(cudaEventRecord(event_, stream)); }
  void synchronize() const { GLMOE_CUDA(cudaEventSynchronize(event_)); }

 private:
  cudaEvent_t event_ = nullptr;
};

// What `work` enqueues on a stream, to be launched again and again.
class CudaGraph {
 public:
  template <class Work>
  CudaGraph(cudaStream_t stream, const Work& work) {
    GLMOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      (void)cudaStreamEndCapture(stream, &graph);
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
      throw;
    }
    GLMOE_CUDA(cudaStreamEndCapture(stream, &graph));
    const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
    (void)cudaGraphDestroy(graph);
    GLMOE_CUDA(status);
  }
  CudaGraph(CudaGraph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  CudaGraph& operator=(CudaGraph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }
  ~CudaGraph() {
    if (exec_ != nullptr) (void)cudaGraphExecDestroy(exec_);
  }

  void launch(cudaStream_t stream) const { GLMOE_CUDA(cudaGraphLaunch(exec_, stream)); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace glmoe
