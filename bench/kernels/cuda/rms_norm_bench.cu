// RMSNorm on a GPU: time, GB/s and the share of the copy bandwidth measured in the same run.
// Bytes are counted from the shapes: every input read once, every output written once.
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "copy_bandwidth.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/norm/rms_norm.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int kSamples = 25;
constexpr int kGraphLaunches = 20;
// Several times the L2 of any Hopper GPU: a buffer is cold when its turn comes again.
constexpr size_t kRotatedBytes = size_t{1} << 29;

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

void measure(const Shape& s, double copy, cudaStream_t stream) {
  const Sets sets(s);
  const RmsNormConfig chosen = rms_norm_config(s.hidden_size);
  for (const bool add : {false, true}) {
    for (const int chunks : {1, 2, 4}) {
      const int threads = (s.hidden_size / 8 / chunks + 31) / 32 * 32;
      if (threads > 1024 || threads * chunks * 8 < s.hidden_size) continue;
      const RmsNormConfig config{chunks, threads};
      const double us = median_us(
          stream, [&](int i) { launch_rms_norm(sets.params(i, add), config, stream); },
          kGraphLaunches, kSamples);
      const double rate = num_bytes(s, add) / us * 1e-3;
      std::printf("%6lld x %5d %-4s %4d x %d%c %9.2f us %7.0f GB/s %5.1f%% of copy\n",
                  static_cast<long long>(s.num_rows), s.hidden_size, add ? "add" : "", threads,
                  chunks, chunks == chosen.chunks_per_thread ? '*' : ' ', us, rate,
                  100.0 * rate / copy);
    }
  }
}

void run(const GpuInfo& gpu, cudaStream_t stream) {
  std::printf("%s\n", gpu.name.c_str());
  const double copy = copy_bandwidth(stream);
  std::printf("bf16 in and out; threads x chunks of a block, * is what the launcher takes\n");
  for (const Shape& s : {Shape{1, 5120}, Shape{64, 5120}, Shape{1024, 5120}, Shape{8192, 5120},
                         Shape{32768, 5120}, Shape{32768, 4096}, Shape{786432, 128}}) {
    measure(s, copy, stream);
  }
}

}  // namespace
}  // namespace glmoe::cuda

int main() { return glmoe::cuda::bench_main(glmoe::cuda::run); }
