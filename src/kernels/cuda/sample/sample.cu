#include "kernels/cuda/sample/sample.h"

#include <string>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/sample/draw.cuh"
#include "kernels/cuda/sample/row_logprobs.cuh"
#include "kernels/cuda/sample/select.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kMaxRows = 1 << 20;
constexpr size_t kMaxSharedBytes = 227 * 1024;  // of a block, on Hopper
static_assert(sample_shared_bytes(kMaxSampleVocab / (kSampleCluster * kVocabBlock)) <=
              kMaxSharedBytes);

// The last token that top_k, top_p and min_p keep.
__device__ Candidate last_kept(const Cluster& cluster, Slice& s, const SampleRow& row,
                               int num_tokens, float inverse_temperature) {
  Candidate last = all_tokens();
  if (row.top_k > 0 && row.top_k < num_tokens) {
    last = Selector(cluster, s, inverse_temperature, last).reach_count(row.top_k);
  }
  if (row.top_p < 1.0f) {
    last = Selector(cluster, s, inverse_temperature, last).reach_share(row.top_p);
  }
  const float floor = __fadd_rn(s.best, __fmul_rn(row.log_min_p, row.temperature));
  const Candidate bound{fminf(floor, s.best), INT_MAX};
  return bound.before(last) ? bound : last;
}

// The drawn token, in block 0.
__device__ int32_t choose(const Cluster& cluster, Slice& s, const SampleRow& row, int num_tokens) {
  const float inverse_temperature = __fdiv_rn(1.0f, row.temperature);
  const Candidate last = last_kept(cluster, s, row, num_tokens, inverse_temperature);
  sum_blocks(cluster, s, inverse_temperature, last);
  cluster.sync();
  if (s.rank != 0) return -1;
  const double u = random_uniform(row.seed, row.stream, static_cast<uint64_t>(row.position));
  return draw_token(cluster, s, inverse_temperature, last, u);
}

// What the row asks for.
struct RowPlan {
  bool given;   // only log-probabilities of a given token
  bool greedy;  // the best token, unless it is given
  bool plain;   // greedy and nothing else: the row is read once and not kept
  int num_tokens;
  uint32_t* counts;  // the sequence's; nullptr without penalties
};

__device__ RowPlan plan_row(const SampleParams& p, const SampleRow& row) {
  RowPlan plan;
  plan.given = row.given_token >= 0;
  plan.greedy = row.temperature < kGreedyBelow;
  plan.num_tokens = plan.given ? p.vocab_size : p.num_tokens;
  plan.counts =
      row.count_slot >= 0 && !plan.given ? p.counts + row.count_slot * p.count_stride : nullptr;
  const bool bans = row.position < row.min_tokens && row.num_stops > 0;
  plan.plain = plan.greedy && !plan.given && row.num_logprobs < 0 && plan.counts == nullptr &&
               row.num_biases == 0 && !bans;
  return plan;
}

// This thread's part of the row.
__device__ RowBest read_row(const SampleParams& p, const SampleRow& row, const RowPlan& plan,
                            const Slice& s, const float* logits) {
  if (plan.plain) {
    return stream_best(logits, plan.num_tokens, s.rank * kSampleThreads + threadIdx.x,
                       kSampleCluster * kSampleThreads);
  }
  load_slice(s, logits, plan.num_tokens);
  __syncthreads();
  if (!plan.given) adjust_listed(s, p, row);
  return penalise_and_scan(s, plan.counts, plan.num_tokens, row);
}

__device__ void finish_row(const SampleParams& p, const RowPlan& plan, int row_index,
                           const SampleOutcome& outcome) {
  p.outcomes[row_index] = outcome;
  if (plan.given) return;
  if (p.next_row != nullptr && p.next_row[row_index] >= 0) {
    p.next_token_ids[p.next_row[row_index]] = outcome.token_id;
  }
  if (plan.counts != nullptr && outcome.status == SampleStatus::kSampled) {
    ++plan.counts[outcome.token_id];
  }
}

__device__ void copy_row(const SampleRow& from, SampleSpace& space) {
  static_assert(sizeof(SampleRow) % sizeof(uint32_t) == 0);
  constexpr int kWords = sizeof(SampleRow) / sizeof(uint32_t);
  if (threadIdx.x < kWords) {
    reinterpret_cast<uint32_t*>(&space.row)[threadIdx.x] =
        reinterpret_cast<const uint32_t*>(&from)[threadIdx.x];
  }
  if (threadIdx.x == 0) space.num_before = space.num_infinite = space.num_top = 0;
  __syncthreads();
}

__global__ void __cluster_dims__(kSampleCluster) __launch_bounds__(kSampleThreads, 2)
    sample_kernel(const SampleParams p, int blocks_per_slice) {
  extern __shared__ __align__(16) char shared[];
  const Cluster cluster = cooperative_groups::this_cluster();
  cluster.barrier_arrive();
  Slice s = make_slice(shared, static_cast<int>(cluster.block_rank()), blocks_per_slice);
  const int row_index = blockIdx.x / kSampleCluster;
  wait_for_earlier_kernels();
  let_next_kernel_start();
  copy_row(p.rows[row_index], *s.space);
  const SampleRow& row = s.space->row;
  const RowPlan plan = plan_row(p, row);
  const bool active = row.active != 0 && row.given_token < p.vocab_size;
  RowBest own = RowBest::none();
  if (active) own = read_row(p, row, plan, s, p.logits + row_index * p.row_stride);
  cluster.barrier_wait();  // all have begun: their shared memory may be used
  if (!active) return;
  const RowBest best = cluster_best(cluster, own, s.space->best);
  s.best = best.logit;
  const SampleOutcome outcome = row_outcome(best, plan.given ? row.given_token : best.id);
  const bool first = s.rank == 0 && threadIdx.x == 0;
  if (outcome.status != SampleStatus::kSampled || plan.plain) {
    if (first) finish_row(p, plan, row_index, outcome);
    return;
  }
  int32_t token_id = outcome.token_id;
  if (!plan.greedy && !plan.given && s.best < plus_infinity()) {
    token_id = choose(cluster, s, row, plan.num_tokens);
  }
  int num_logprobs = 0;
  if (row.num_logprobs >= 0) {
    __syncthreads();  // block 0's threads have read what the draw left there
    if (first) s.space->token_id = token_id;
    cluster.sync();
    num_logprobs = write_logprobs(cluster, s, cluster.map_shared_rank(s.space, 0)->token_id,
                                  min(row.num_logprobs, kMaxLogprobs),
                                  p.logprobs + row_index * int64_t{kTopEntries});
  }
  cluster.sync();  // nobody leaves while its shared memory is read
  if (first) {
    finish_row(p, plan, row_index, {token_id, SampleStatus::kSampled, -1, num_logprobs});
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "sample: " + what);
}

void check_aligned(const char* name, const void* pointer) {
  if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
    refuse(std::string(name) + " is not aligned to 16 bytes: give it the start of a buffer");
  }
}

void check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  refuse(std::string(name) + " is " + std::to_string(value) + ", wanted " + std::to_string(low) +
         " to " + std::to_string(high));
}

void check_stride(const char* name, int64_t stride, int64_t least) {
  if (stride >= least && stride % 4 == 0) return;
  refuse(std::string(name) + " is " + std::to_string(stride) +
         ", wanted a multiple of 4 that is at least " + std::to_string(least));
}

void check_params(const SampleParams& p) {
  check_range("num_rows", p.num_rows, 0, kMaxRows);
  check_range("vocab_size", p.vocab_size, 1, kMaxSampleVocab);
  check_range("num_tokens", p.num_tokens, 1, p.vocab_size);
  check_stride("row_stride", p.row_stride, p.vocab_size);
  if (p.counts != nullptr) check_stride("count_stride", p.count_stride, p.num_tokens);
  if ((p.next_row == nullptr) != (p.next_token_ids == nullptr)) {
    refuse("next_row and next_token_ids: give both or neither");
  }
  if (p.num_rows == 0) return;
  if (p.logits == nullptr) refuse("logits is null: wanted device memory");
  if (p.rows == nullptr) refuse("rows is null: wanted device memory");
  if (p.outcomes == nullptr) refuse("outcomes is null: wanted device memory");
  check_aligned("logits", p.logits);
  check_aligned("counts", p.counts);
}

}  // namespace

void launch_sample(const SampleParams& params, cudaStream_t stream) {
  check_params(params);
  if (params.num_rows == 0) return;
  constexpr int kSliceUnit = kSampleCluster * kVocabBlock;
  const int blocks_per_slice = (params.vocab_size + kSliceUnit - 1) / kSliceUnit;
  const size_t shared_bytes = sample_shared_bytes(blocks_per_slice);
  GLMOE_CUDA(cudaFuncSetAttribute(sample_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(shared_bytes)));
  launch_kernel(sample_kernel, dim3(static_cast<unsigned>(params.num_rows * kSampleCluster)),
                dim3(kSampleThreads), shared_bytes, stream, params, blocks_per_slice);
}

}  // namespace glmoe::cuda
