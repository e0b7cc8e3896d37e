// RMSNorm on a GPU: time, GB/s and the share of the copy bandwidth measured in the same run.
// Bytes are counted from the shapes: every input read once, every output written once.
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/gpu_info.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/norm/rms_norm.h"

namespace glmoe::cuda {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int kWarmUps = 5;
constexpr int kSamples = 25;
constexpr int kGraphLaunches = 20;
// Several times the L2 of any Hopper GPU: a buffer is cold when its turn comes again.
constexpr size_t kRotatedBytes = size_t{1} << 29;

// The median time of one call of `work(i)`: graphs of kGraphLaunches calls, so that the gaps
// between launches are a GPU's and not the host's.
double median_us(cudaStream_t stream, const std::function<void(int)>& work) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  GLMOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < kGraphLaunches; ++i) work(i);
  GLMOE_CUDA(cudaStreamEndCapture(stream, &graph));
  GLMOE_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  cudaEvent_t start, stop;
  GLMOE_CUDA(cudaEventCreate(&start));
  GLMOE_CUDA(cudaEventCreate(&stop));
  std::vector<double> times;
  for (int sample = -kWarmUps; sample < kSamples; ++sample) {
    GLMOE_CUDA(cudaEventRecord(start, stream));
    GLMOE_CUDA(cudaGraphLaunch(exec, stream));
    GLMOE_CUDA(cudaEventRecord(stop, stream));
    GLMOE_CUDA(cudaEventSynchronize(stop));
    float ms = 0.0f;
    GLMOE_CUDA(cudaEventElapsedTime(&ms, start, stop));
    if (sample >= 0) times.push_back(1e3 * ms / kGraphLaunches);
  }
  GLMOE_CUDA(cudaEventDestroy(start));
  GLMOE_CUDA(cudaEventDestroy(stop));
  GLMOE_CUDA(cudaGraphExecDestroy(exec));
  GLMOE_CUDA(cudaGraphDestroy(graph));
  std::nth_element(times.begin(), times.begin() + kSamples / 2, times.end());
  return times[kSamples / 2];
}

struct Shape {
  int64_t num_rows;
  int hidden_size;
};

// Input sets for one shape, as many as kRotatedBytes hold.
class Sets {
 public:
  explicit Sets(const Shape& s) : shape_(s) {
    const size_t size = static_cast<size_t>(s.num_rows) * static_cast<size_t>(s.hidden_size);
    const size_t bytes = 4 * size * sizeof(Bf16);
    const size_t wanted = std::clamp<size_t>(kRotatedBytes / bytes, 2, kGraphLaunches);
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    std::vector<Bf16> values(size);
    for (Bf16& value : values) value = __float2bfloat16_rn(normal(generator));
    for (size_t i = 0; i < 4 * wanted; ++i) {
      arrays_.push_back(std::make_unique<DeviceArray<Bf16>>(values));
    }
    values.resize(static_cast<size_t>(s.hidden_size));
    gamma_ = std::make_unique<DeviceArray<Bf16>>(values);
  }
  // All four buffers apart, so that no input of a call is warm from its own output.
  RmsNormParams params(int i, bool add) const {
    const size_t first = 4 * (static_cast<size_t>(i) % (arrays_.size() / 4));
    RmsNormParams p{.x = arrays_[first]->data(),
                    .gamma = gamma_->data(),
                    .out = arrays_[first + 1]->data(),
                    .num_rows = shape_.num_rows,
                    .hidden_size = shape_.hidden_size,
                    .eps = 1e-5f};
    if (add) p.delta = arrays_[first + 2]->data(), p.sum = arrays_[first + 3]->data();
    return p;
  }

 private:
  Shape shape_;
  std::vector<std::unique_ptr<DeviceArray<Bf16>>> arrays_;
  std::unique_ptr<DeviceArray<Bf16>> gamma_;
};

double num_bytes(const Shape& s, bool add) {
  const double row = static_cast<double>(s.hidden_size) * sizeof(Bf16);
  return static_cast<double>(s.num_rows) * row * (add ? 4 : 2) + row;
}

constexpr int kCopyThreads = 1024;

__global__ void copy_kernel(const float4* from, float4* to) {
  const size_t at = static_cast<size_t>(blockIdx.x) * kCopyThreads + threadIdx.x;
  to[at] = from[at];
}

// The better of the runtime's copy and a plain kernel's: what this GPU's memory can do. The
// runtime's alone is not a ceiling, since the kernels here go beyond it.
double copy_gb_per_s(cudaStream_t stream) {
  const DeviceArray<float4> from(kRotatedBytes * 2 / sizeof(float4));
  const DeviceArray<float4> to(from.size());
  GLMOE_CUDA(cudaMemset(from.data(), 0x5a, from.num_bytes()));
  const double runtime_us = median_us(stream, [&](int) {
    GLMOE_CUDA(cudaMemcpyAsync(to.data(), from.data(), from.num_bytes(), cudaMemcpyDeviceToDevice,
                               stream));
  });
  const double kernel_us = median_us(stream, [&](int) {
    copy_kernel<<<static_cast<unsigned>(from.size() / kCopyThreads), kCopyThreads, 0, stream>>>(
        from.data(), to.data());
    GLMOE_CUDA(cudaGetLastError());
  });
  const double gigabytes = 2.0 * static_cast<double>(from.num_bytes()) * 1e-3;
  std::printf(
      "copy of 1 GiB, bytes read and written: %.0f GB/s cudaMemcpyAsync, %.0f GB/s kernel\n",
      gigabytes / runtime_us, gigabytes / kernel_us);
  return gigabytes / std::min(runtime_us, kernel_us);
}

void measure(const Shape& s, double copy, cudaStream_t stream) {
  const Sets sets(s);
  const RmsNormConfig chosen = rms_norm_config(s.hidden_size);
  for (const bool add : {false, true}) {
    for (const int chunks : {1, 2, 4}) {
      const int threads = (s.hidden_size / 8 / chunks + 31) / 32 * 32;
      if (threads > 1024 || threads * chunks * 8 < s.hidden_size) continue;
      const RmsNormConfig config{chunks, threads};
      const double us =
          median_us(stream, [&](int i) { launch_rms_norm(sets.params(i, add), config, stream); });
      const double rate = num_bytes(s, add) / us * 1e-3;
      std::printf("%6lld x %5d %-4s %4d x %d%c %9.2f us %7.0f GB/s %5.1f%% of copy\n",
                  static_cast<long long>(s.num_rows), s.hidden_size, add ? "add" : "", threads,
                  chunks, chunks == chosen.chunks_per_thread ? '*' : ' ', us, rate,
                  100.0 * rate / copy);
    }
  }
}

int run() {
  const GpuQuery query = query_gpus();
  if (query.gpus.empty()) {
    std::printf("skipped: %s\n", query.reason.c_str());
    return 0;
  }
  cudaStream_t stream;
  GLMOE_CUDA(cudaStreamCreate(&stream));
  std::printf("%s\n", query.gpus[0].name.c_str());
  const double copy = copy_gb_per_s(stream);
  std::printf("bf16 in and out; threads x chunks of a block, * is what the launcher takes\n");
  for (const Shape& s : {Shape{1, 5120}, Shape{64, 5120}, Shape{1024, 5120}, Shape{8192, 5120},
                         Shape{32768, 5120}, Shape{32768, 4096}, Shape{786432, 128}}) {
    measure(s, copy, stream);
  }
  GLMOE_CUDA(cudaStreamDestroy(stream));
  return 0;
}

}  // namespace
}  // namespace glmoe::cuda

int main() {
  try {
    return glmoe::cuda::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
