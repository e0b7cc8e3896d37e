// The attention kernels on a GPU: time, GB/s of K and V (decode, cache write) or TFLOP/s (prefill),
// and the share of what the GPU can do. Bytes and operations are counted from the shapes.
//
//   attention_bench [decode] [prefill] [rope]      default: all
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/attention/attention_decode.h"
#include "kernels/cuda/attention/attention_prefill.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/rope/rope_kv_write.h"
#include "timing.h"

namespace glmoe::cuda {
namespace {

using Bf16 = __nv_bfloat16;
constexpr AttentionHeads kAir{96, 8, 128};
constexpr int kCalls = 20;
// What dense BF16 products reach on an H100 SXM at the clock it keeps under load.
constexpr double kPeakTflops = 795.0;
// Several times the L2 of any Hopper GPU: what a call reads is cold when its turn comes again.
constexpr size_t kRotatedBytes = size_t{1} << 29;

// Sums of uniform numbers: near enough to normal, variance 1.
__global__ void fill_random(Bf16* to, size_t count, uint32_t seed) {
  const size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
  for (size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    uint32_t state = static_cast<uint32_t>(i) * 2654435761u + seed;
    float sum = 0.0f;
    for (int n = 0; n < 3; ++n) {
      state ^= state >> 16, state *= 0x7feb352du, state ^= state >> 15, state *= 0x846ca68bu;
      sum += static_cast<float>(state >> 8) * (2.0f / (1 << 24)) - 1.0f;
    }
    to[i] = __float2bfloat16_rn(sum);
  }
}

std::unique_ptr<DeviceArray<Bf16>> random_array(size_t count, uint32_t seed) {
  auto array = std::make_unique<DeviceArray<Bf16>>(count);
  fill_random<<<1024, 256>>>(array->data(), count, seed);
  GLMOE_CUDA(cudaDeviceSynchronize());
  return array;
}

// A cache in which each call of a series finds its sequences in blocks of its own, in random order.
struct Cache {
  Cache(int64_t tokens, int page) : tokens_per_block(page) {
    num_blocks = tokens / page;
    const auto elements =
        static_cast<size_t>(num_blocks * 2 * kAir.num_kv_heads * page * kAir.head_dim);
    blocks = random_array(elements, 7);
    order.resize(static_cast<size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
  }
  PagedKv view() const { return {blocks->data(), num_blocks, tokens_per_block}; }
  int tokens_per_block;
  int64_t num_blocks;
  std::unique_ptr<DeviceArray<Bf16>> blocks;
  std::vector<int32_t> order;
};

constexpr double kTokenBytes = 2.0 * 8 * 128 * sizeof(Bf16);  // K and V of a position of a layer

struct DecodeShape {
  const char* name;
  std::vector<int> kv_lens;
};

int num_sms() {
  int count = 0;
  GLMOE_CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  return count;
}

void measure_decode(const DecodeShape& shape, int page, double bandwidth, cudaStream_t stream) {
  const auto count = static_cast<int>(shape.kv_lens.size());
  const int longest = *std::max_element(shape.kv_lens.begin(), shape.kv_lens.end());
  const int64_t stride = (longest + page - 1) / page;
  int64_t tokens = 0, blocks = 0;
  for (const int kv_len : shape.kv_lens) tokens += kv_len, blocks += (kv_len + page - 1) / page;
  const double bytes = static_cast<double>(tokens) * kTokenBytes;
  const auto series = static_cast<int64_t>(
      std::clamp(static_cast<double>(kRotatedBytes) / bytes, 1.0, double{kCalls}));
  const Cache cache(series * blocks * page, page);
  std::vector<int32_t> tables;
  size_t next = 0;
  for (int64_t i = 0; i < series; ++i) {
    for (const int kv_len : shape.kv_lens) {
      for (int64_t b = 0; b < stride; ++b) {
        tables.push_back(b * page < kv_len ? cache.order[next++ % cache.order.size()] : 0);
      }
    }
  }
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  const DeviceArray<int32_t> tables_dev(tables), rows_dev(rows), lens_dev(shape.kv_lens);
  const auto qkv = random_array(static_cast<size_t>(count * kAir.qkv_width()), 1);
  const DeviceArray<Bf16> out(static_cast<size_t>(count * kAir.num_heads * kAir.head_dim));
  const DeviceArray<char> workspace(attention_decode_workspace_bytes(kAir, num_sms()));
  GLMOE_CUDA(cudaMemset(workspace.data(), 0, workspace.num_bytes()));
  AttentionDecodeParams p;
  p.qkv = qkv->data();
  p.out = out.data();
  p.heads = kAir;
  p.kv = cache.view();
  p.row = rows_dev.data();
  p.kv_len = lens_dev.data();
  p.block_table_stride = stride;
  p.num_sequences = count;
  p.workspace = workspace.data();
  p.workspace_bytes = workspace.num_bytes();
  const double us = median_us(
      stream,
      [&](int i) {
        p.block_tables = tables_dev.data() + i % series * count * stride;
        launch_attention_decode(p, stream);
      },
      kCalls);
  std::printf("decode  %-22s P %3d %8.1f MB %9.2f us %7.0f GB/s %5.1f%% of read\n", shape.name,
              page, bytes * 1e-6, us, bytes / us * 1e-3, 100.0 * bytes / us * 1e-3 / bandwidth);
}

void bench_decode(double bandwidth, cudaStream_t stream) {
  std::vector<int> ragged;
  for (int i = 0; i < 64; ++i) ragged.push_back(i == 5 ? 32768 : 200 + i * 97 % 3000);
  const std::vector<DecodeShape> shapes = {
      {"1 x 64", {64}},
      {"1 x 1024", {1024}},
      {"1 x 4096", {4096}},
      {"1 x 16384", {16384}},
      {"1 x 32768", {32768}},
      {"1 x 131072", {131072}},
      {"3 x 20000", std::vector<int>(3, 20000)},
      {"8 x 1024", std::vector<int>(8, 1024)},
      {"16 x 4096", std::vector<int>(16, 4096)},
      {"32 x 8192", std::vector<int>(32, 8192)},
      {"64 x 1024", std::vector<int>(64, 1024)},
      {"256 x 1000", std::vector<int>(256, 1000)},
      {"63 short, 1 x 32768", ragged},
  };
  for (const DecodeShape& shape : shapes) measure_decode(shape, 64, bandwidth, stream);
  for (const size_t i : {1, 4, 10}) measure_decode(shapes[i], 16, bandwidth, stream);
}

struct PrefillShape {
  int num_sequences, num_rows, prefix;
  int page;
};

void measure_prefill(const PrefillShape& s, cudaStream_t stream) {
  const int kv_len = s.prefix + s.num_rows;
  const int64_t stride = (kv_len + s.page - 1) / s.page;
  const Cache cache(s.num_sequences * stride * s.page, s.page);
  const auto count = static_cast<size_t>(s.num_sequences);
  std::vector<int32_t> begins(count);
  for (size_t i = 0; i < count; ++i) begins[i] = static_cast<int32_t>(i) * s.num_rows;
  const DeviceArray<int32_t> tables_dev(cache.order), begins_dev(begins),
      rows_dev(std::vector<int32_t>(count, s.num_rows)),
      lens_dev(std::vector<int32_t>(count, kv_len));
  const auto rows = static_cast<size_t>(s.num_sequences) * static_cast<size_t>(s.num_rows);
  const auto qkv = random_array(rows * static_cast<size_t>(kAir.qkv_width()), 1);
  const DeviceArray<Bf16> out(rows * static_cast<size_t>(kAir.num_heads * kAir.head_dim));
  AttentionPrefillParams p;
  p.qkv = qkv->data();
  p.out = out.data();
  p.heads = kAir;
  p.kv = cache.view();
  p.row_begin = begins_dev.data();
  p.num_rows = rows_dev.data();
  p.kv_len = lens_dev.data();
  p.block_tables = tables_dev.data();
  p.block_table_stride = stride;
  p.num_sequences = s.num_sequences;
  p.max_num_rows = s.num_rows;
  const double us = median_us(
      stream, [&](int) { launch_attention_prefill(p, stream); }, kCalls / 4, 9);
  const double pairs = s.num_sequences * (static_cast<double>(s.num_rows) * s.prefix +
                                          0.5 * s.num_rows * (s.num_rows + 1.0));
  const double tflops = 4.0 * kAir.head_dim * kAir.num_heads * pairs / us * 1e-6;
  std::printf("prefill %3d x %5d on %6d   P %3d %10.1f us %7.1f TFLOP/s %5.1f%% of %.0f\n",
              s.num_sequences, s.num_rows, s.prefix, s.page, us, tflops,
              100.0 * tflops / kPeakTflops, kPeakTflops);
}

void bench_prefill(cudaStream_t stream) {
  for (const PrefillShape& s :
       {PrefillShape{1, 512, 0, 64}, PrefillShape{1, 2048, 0, 64}, PrefillShape{1, 8192, 0, 64},
        PrefillShape{1, 8192, 0, 16}, PrefillShape{1, 32768, 0, 64}, PrefillShape{8, 1024, 0, 64},
        PrefillShape{1, 2048, 30000, 64}, PrefillShape{16, 64, 4000, 64},
        PrefillShape{64, 4, 2000, 64}}) {
    measure_prefill(s, stream);
  }
}

void measure_rope(int num_rows, bool norm, bool wide, double bandwidth, cudaStream_t stream) {
  constexpr int kRotary = 64, kPositions = 65536, kPage = 64;
  // Each q number is read and written, those behind the rotation only where they have to be.
  const double q = norm || wide ? 96.0 * 128 : 96.0 * kRotary;
  const double row_bytes = wide ? q * (sizeof(float) + sizeof(Bf16)) + 3 * kTokenBytes
                                : 2 * q * sizeof(Bf16) + 2 * kTokenBytes;
  const double bytes = num_rows * row_bytes;
  const size_t row_size = static_cast<size_t>(num_rows) * static_cast<size_t>(kAir.qkv_width());
  const auto series = static_cast<int>(
      std::clamp(static_cast<double>(kRotatedBytes) / static_cast<double>(row_size * sizeof(float)),
                 1.0, double{kCalls}));
  const auto qkv = random_array(row_size * static_cast<size_t>(series), 1);
  const DeviceArray<float> wide_qkv(
      std::vector<float>(wide ? row_size * static_cast<size_t>(series) : 1, 0.7f));
  const Cache cache((int64_t{num_rows} + kPage) / kPage * kPage * series, kPage);
  std::vector<int32_t> positions(static_cast<size_t>(num_rows));
  std::iota(positions.begin(), positions.end(), 100);
  const DeviceArray<int32_t> positions_dev(positions);
  std::vector<int32_t> slots(static_cast<size_t>(num_rows * series));
  std::iota(slots.begin(), slots.end(), 0);
  const DeviceArray<int32_t> slots_dev(slots);
  const DeviceArray<float> table(std::vector<float>(size_t{kPositions} * kRotary, 0.7f));
  const DeviceArray<float> gamma(std::vector<float>(128, 1.0f));
  RopeKvWriteParams p;
  p.heads = kAir;
  if (norm) p.q_norm = p.k_norm = gamma.data();
  p.eps = 1e-5f;
  p.rope_table = table.data();
  p.rotary_dim = kRotary;
  p.positions = positions_dev.data();
  p.kv = cache.view();
  p.num_rows = num_rows;
  const double us = median_us(
      stream,
      [&](int i) {
        p.qkv = qkv->data() + static_cast<size_t>(i % series) * row_size;
        if (wide) p.wide_qkv = wide_qkv.data() + static_cast<size_t>(i % series) * row_size;
        p.slots = slots_dev.data() + i % series * num_rows;
        launch_rope_kv_write(p, stream);
      },
      kCalls);
  std::printf("rope    %6d rows %-8s %-4s %8.2f MB %9.2f us %7.0f GB/s %5.1f%% of read\n", num_rows,
              norm ? "QK norm" : "", wide ? "F32" : "", bytes * 1e-6, us, bytes / us * 1e-3,
              100.0 * bytes / us * 1e-3 / bandwidth);
}

void run(const std::vector<std::string>& wanted, const GpuInfo& gpu, cudaStream_t stream) {
  const auto asked = [&](const char* name) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
  };
  const double bandwidth = read_bandwidth(gpu, stream);
  std::printf("%s, reads %.0f GB/s; heads 96 of 128, 8 KV heads, bf16\n", gpu.name.c_str(),
              bandwidth);
  if (asked("rope")) {
    for (const bool norm : {false, true}) {
      for (const bool wide : {false, true}) {
        for (const int rows : {1, 64, 512, 2048}) {
          measure_rope(rows, norm, wide, bandwidth, stream);
        }
      }
    }
  }
  if (asked("decode")) bench_decode(bandwidth, stream);
  if (asked("prefill")) bench_prefill(stream);
}

}  // namespace
}  // namespace glmoe::cuda

int main(int count, char** arguments) {
  const std::vector<std::string> wanted(arguments + 1, arguments + count);
  return glmoe::cuda::bench_main([&](const glmoe::GpuInfo& gpu, cudaStream_t stream) {
    glmoe::cuda::run(wanted, gpu, stream);
  });
}
