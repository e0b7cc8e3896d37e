// bench_gpu_attention() of gpu_bench.h.
#include <algorithm>
#include <numeric>
#include <random>

#include "gpu/bench_timer.h"
#include "gpu/gpu_bench.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_choices.h"
#include "gpu/gpu_workspace.h"
#include "kernels/cuda/attention/attention_decode.h"
#include "kernels/cuda/attention/attention_prefill.h"
#include "kernels/cuda/fill/fill.h"

namespace glmoe {
namespace {

constexpr int64_t kColdBytes = int64_t{256} << 20;  // several times the card's own cache
constexpr int64_t kMaxCaches = 16;
constexpr int64_t kCalls = 16;  // in a row: the start of the first counts little

double real(int64_t count) { return static_cast<double>(count); }

DeviceBuffer upload(const std::vector<int32_t>& values, const char* what) {
  DeviceBuffer buffer(values.size() * 4, what);
  GLMOE_CUDA(cudaMemcpy(buffer.data(), values.data(), buffer.size(), cudaMemcpyHostToDevice));
  return buffer;
}

const int32_t* ints(const DeviceBuffer& buffer) {
  return reinterpret_cast<const int32_t*>(buffer.data());
}

// The blocks of all sequences of all caches in one random order, as an engine that has run for a
// while hands them out.
std::vector<int32_t> random_tables(int64_t num_blocks) {
  std::vector<int32_t> table(static_cast<size_t>(num_blocks));
  std::iota(table.begin(), table.end(), 0);
  std::mt19937 random(1);
  std::ranges::shuffle(table, random);
  return table;
}

double attention_us(const BenchTimer& timer, const Glm4MoeConfig& config, cuda::ElementType type,
                    int64_t tokens_per_block, int num_sms, const GpuAttentionShape& shape) {
  const int64_t n = shape.num_sequences;
  const int64_t blocks = (shape.context + tokens_per_block - 1) / tokens_per_block;
  const int64_t block_bytes = 2 * config.kv_size() * tokens_per_block * 2;
  const int64_t caches =
      std::clamp<int64_t>(kColdBytes / (n * blocks * block_bytes), 1, kMaxCaches);
  const int64_t num_blocks = caches * n * blocks;
  const int64_t rows = n * shape.num_rows;
  const cuda::AttentionHeads heads = attention_heads(config);
  const DeviceBuffer kv(static_cast<size_t>(num_blocks * block_bytes), "the KV cache");
  const DeviceBuffer qkv(static_cast<size_t>(rows * heads.qkv_width() * 2), "the queries");
  const DeviceBuffer out(static_cast<size_t>(rows * config.q_size() * 2), "the attended rows");
  const DeviceBuffer workspace(cuda::attention_decode_workspace_bytes(heads, num_sms),
                               "attention's workspace");
  const DeviceBuffer tables = upload(random_tables(num_blocks), "the block tables");
  std::vector<int32_t> firsts(static_cast<size_t>(n));
  for (size_t s = 0; s < firsts.size(); ++s) {
    firsts[s] = static_cast<int32_t>(static_cast<int64_t>(s) * shape.num_rows);
  }
  const std::vector<int32_t> row_counts(firsts.size(), static_cast<int32_t>(shape.num_rows));
  const std::vector<int32_t> contexts(firsts.size(), static_cast<int32_t>(shape.context));
  const DeviceBuffer first_rows = upload(firsts, "the first rows");
  const DeviceBuffer num_rows = upload(row_counts, "the row counts");
  const DeviceBuffer kv_lens = upload(contexts, "the contexts");
  cuda::launch_fill_random(kv.data(), type, num_blocks * block_bytes / 2, 1.7f, 1, timer.stream());
  cuda::launch_fill_random(qkv.data(), type, rows * heads.qkv_width(), 1.7f, 2, timer.stream());
  GLMOE_CUDA(cudaMemsetAsync(workspace.data(), 0, workspace.size(), timer.stream()));

  const cuda::PagedKv paged{kv.data(), num_blocks, static_cast<int>(tokens_per_block)};
  const auto table_of = [&](int call) { return ints(tables) + call % caches * n * blocks; };
  const int calls = static_cast<int>(shape.num_rows == 1 ? kCalls : std::max<int64_t>(caches, 4));
  if (shape.num_rows == 1) {
    cuda::AttentionDecodeParams p;
    p.qkv = qkv.data();
    p.out = out.data();
    p.type = type;
    p.heads = heads;
    p.kv = paged;
    p.row = ints(first_rows);
    p.kv_len = ints(kv_lens);
    p.block_table_stride = blocks;
    p.num_sequences = static_cast<int>(n);
    p.workspace = workspace.data();
    p.workspace_bytes = workspace.size();
    return timer.call_us(calls, [&](int call) {
      p.block_tables = table_of(call);
      cuda::launch_attention_decode(p, timer.stream());
    });
  }
  cuda::AttentionPrefillParams p;
  p.qkv = qkv.data();
  p.out = out.data();
  p.type = type;
  p.heads = heads;
  p.kv = paged;
  p.row_begin = ints(first_rows);
  p.num_rows = ints(num_rows);
  p.kv_len = ints(kv_lens);
  p.block_table_stride = blocks;
  p.num_sequences = static_cast<int>(n);
  p.max_num_rows = static_cast<int>(shape.num_rows);
  return timer.call_us(calls, [&](int call) {
    p.block_tables = table_of(call);
    cuda::launch_attention_prefill(p, timer.stream());
  });
}

}  // namespace

std::vector<GpuSpeed> bench_gpu_attention(const Glm4MoeConfig& config, DType dtype,
                                          int64_t tokens_per_block,
                                          const std::vector<GpuAttentionShape>& shapes) {
  const GpuInfo gpu = use_gpu();
  const cuda::ElementType type = check_gpu_runs(config, dtype);
  if (!has_fast_heads(config, tokens_per_block)) {
    fail(ErrorCode::kUnsupported,
         "bench attention: the fast kernels take head_dim 128, a rotary size that is a multiple of "
         "16 and blocks of 16, 32, 64 or 128 tokens; found head_dim {}, rotary size {}, blocks of "
         "{}. This model runs on the plain kernels, which are not for speed",
         config.head_dim, config.rotary_dim(), tokens_per_block);
  }
  const BenchTimer timer;
  std::vector<GpuSpeed> speeds;
  for (const GpuAttentionShape& shape : shapes) {
    GpuSpeed speed;
    speed.us = attention_us(timer, config, type, tokens_per_block, gpu.sm_count, shape);
    speed.bytes =
        real(shape.num_sequences) * real(shape.context) * 2.0 * real(config.kv_size()) * 2;
    // Every row meets the positions up to its own.
    const double pairs =
        real(shape.num_rows) * (2.0 * real(shape.context) - real(shape.num_rows) + 1) / 2;
    speed.flops = 4.0 * real(config.q_size()) * pairs * real(shape.num_sequences);
    speeds.push_back(speed);
  }
  return speeds;
}

}  // namespace glmoe
