#include "kernels/cuda/gemm/stream_gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/bulk_copy.cuh"
#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kConsumerWarps = 8;
constexpr int kConsumerThreads = kConsumerWarps * 32;
constexpr int kThreads = kConsumerThreads + 32;  // and one warp that feeds them
constexpr int kTileRows = 16;                    // of the matrix: the mma's m
constexpr int kTileTokens = 8;                   // of x: the mma's n
constexpr int kChunkK = 32;                      // columns that a warp takes at a time: two mma
constexpr int kMaxStages = 8;
constexpr int kMaxExperts = 2048;
constexpr int kMaxShared = 227 * 1024;
constexpr int kStageElements = 16 * 1024;  // about 32 KiB a stage
// Rows of a stage lie 64 bytes apart modulo 128: eight lanes read 16 bytes each of two rows at a
// time, and so from all 32 banks.
__host__ __device__ constexpr int row_pitch(int stage_k) {
  return stage_k * 2 % 128 == 64 ? stage_k * 2 : stage_k * 2 + 64;
}

// What the host works out once.
struct Plan {
  StreamGemmParams p;
  int stage_k, num_stages, stages_a_unit;
  int units_a_matrix;  // row units of one matrix
};

template <class T>
__device__ inline void mma(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                           uint32_t b0, uint32_t b1);
template <>
__device__ inline void mma<__nv_bfloat16>(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                          uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <>
__device__ inline void mma<__half>(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                   uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// A unit of work: kTileRows * kRowTiles rows of one matrix with a tile of x's rows.
struct Unit {
  int expert;
  int matrix_row;          // first row of the matrix
  int token_begin, count;  // rows of out
};

// Walks over units first .. last-1 of the whole problem, which all blocks number alike: expert by
// expert, then rows of the matrix, then tiles of tokens (neighbours read the same weights).
class UnitWalk {
 public:
  // first_units: [E + 1] in shared memory, the number of the first unit of each expert.
  __device__ UnitWalk(const Plan& plan, const int* first_units, int rows_a_unit, int tokens_a_unit,
                      int unit)
      : plan_(plan),
        first_units_(first_units),
        rows_a_unit_(rows_a_unit),
        tokens_a_unit_(tokens_a_unit),
        unit_(unit) {
    int low = 0;
    int high = plan.p.num_experts;
    while (high - low > 1) {  // the last expert whose first unit is not after `unit`
      const int middle = (low + high) / 2;
      if (first_units_[middle] <= unit) {
        low = middle;
      } else {
        high = middle;
      }
    }
    expert_ = low;
  }
  __device__ Unit next() {
    while (unit_ >= first_units_[expert_ + 1]) ++expert_;
    const int begin = plan_.p.expert_offsets == nullptr ? 0 : plan_.p.expert_offsets[expert_];
    const int end =
        plan_.p.expert_offsets == nullptr ? plan_.p.num_rows : plan_.p.expert_offsets[expert_ + 1];
    const int token_tiles = (end - begin + tokens_a_unit_ - 1) / tokens_a_unit_;
    const int local = unit_ - first_units_[expert_];
    const int token_begin = begin + local % token_tiles * tokens_a_unit_;
    ++unit_;
    return {.expert = expert_,
            .matrix_row = local / token_tiles * rows_a_unit_,
            .token_begin = token_begin,
            .count = min(end - token_begin, tokens_a_unit_)};
  }

 private:
  const Plan& plan_;
  const int* first_units_;
  int rows_a_unit_, tokens_a_unit_, unit_, expert_;
};

// One warp: first_units[e] for every expert and the total behind them.
__device__ void number_units(const Plan& plan, int tokens_a_unit, int* first_units) {
  const int lane = threadIdx.x % 32;
  const int num_experts = plan.p.num_experts;
  int total = 0;
  for (int base = 0; base < num_experts; base += 32) {
    const int e = base + lane;
    int units = 0;
    if (e < num_experts) {
      const int rows = plan.p.expert_offsets == nullptr
                           ? plan.p.num_rows
                           : plan.p.expert_offsets[e + 1] - plan.p.expert_offsets[e];
      units = (rows + tokens_a_unit - 1) / tokens_a_unit * plan.units_a_matrix;
    }
    int sum = units;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += other;
    }
    if (e < num_experts) first_units[e] = total + sum - units;
    total += __shfl_sync(0xffffffffu, sum, 31);
  }
  if (lane == 0) first_units[num_experts] = total;
}

// The feeding warp's side of the ring of stages.
template <class T, int kRowTiles>
class Feeder {
 public:
  static constexpr int kRows = kTileRows * kRowTiles;
  __device__ Feeder(const Plan& plan, char* stages, uint64_t* full, uint64_t* empty)
      : plan_(plan),
        stages_(stages),
        full_(full),
        empty_(empty),
        pitch_(row_pitch(plan.stage_k)),
        policy_(evict_first_policy()) {}

  __device__ void feed(const Unit& unit) {
    const int lane = threadIdx.x % 32;
    const int rows = min(kRows, plan_.p.out_size - unit.matrix_row);
    const T* matrix = static_cast<const T*>(plan_.p.w) +
                      (static_cast<int64_t>(unit.expert) * plan_.p.out_size + unit.matrix_row) *
                          plan_.p.in_size;
    for (int k = 0; k < plan_.p.in_size; k += plan_.stage_k) {
      const uint32_t row_bytes = min(plan_.stage_k, plan_.p.in_size - k) * sizeof(T);
      if (round_ > 0) barrier_wait(&empty_[stage_], (round_ - 1) & 1);
      if (lane == 0) barrier_arrive_expecting(&full_[stage_], row_bytes * rows);
      __syncwarp();
      char* to = stages_ + stage_ * kRows * pitch_;
      if (lane < rows) {
        bulk_copy(to + lane * pitch_, matrix + static_cast<int64_t>(lane) * plan_.p.in_size + k,
                  row_bytes, &full_[stage_], policy_);
      }
      if (++stage_ == plan_.num_stages) stage_ = 0, ++round_;
    }
  }

 private:
  const Plan& plan_;
  char* stages_;
  uint64_t* full_;
  uint64_t* empty_;
  int pitch_;
  uint64_t policy_;
  int stage_ = 0;
  uint32_t round_ = 0;
};

__device__ inline void consumers_sync() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumerThreads) : "memory");
}

__device__ inline float silu(float x) { return x / (1.0f + __expf(-x)); }

// The multiplying warps' side. Warp w takes chunks w, w + 8, ... of every stage; the warps' sums
// are added in the warps' order.
template <class T, int kRowTiles>
class Consumer {
 public:
  static constexpr int kRows = kTileRows * kRowTiles;
  __device__ Consumer(const Plan& plan, const char* stages, uint64_t* full, uint64_t* empty,
                      float* sums, int sums_size)
      : plan_(plan),
        stages_(stages),
        full_(full),
        empty_(empty),
        sums_(sums),
        sums_size_(sums_size),
        pitch_(row_pitch(plan.stage_k)) {}

  template <int kTokenTiles>
  __device__ void consume(const Unit& unit) {
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    const int group = lane / 4;
    const int part = lane % 4;
    const T* x_rows[kTokenTiles];
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
      const int local = t * kTileTokens + group;
      x_rows[t] = nullptr;
      if (local < unit.count) {
        const int position = unit.token_begin + local;
        const int row = plan_.p.source_slots == nullptr
                            ? position
                            : plan_.p.source_slots[position] / plan_.p.slots_per_row;
        x_rows[t] = static_cast<const T*>(plan_.p.x) + row * plan_.p.x_stride + part * 8;
      }
    }
    float sums[kRowTiles][kTokenTiles][4] = {};
    for (int k = 0; k < plan_.p.in_size; k += plan_.stage_k) {
      const int columns = min(plan_.stage_k, plan_.p.in_size - k);
      const char* stage =
          stages_ + stage_ * kRows * pitch_ + group * pitch_ + part * 8 * sizeof(T);
      bool ready = false;
      // Four chunks at a time: their activations are on their way while the weights are waited for.
      for (int c = warp * kChunkK; c < columns; c += kUnroll * kConsumerWarps * kChunkK) {
        constexpr int kBatch = kTokenTiles <= 2 ? kUnroll : 1;
#pragma unroll
        for (int b = 0; b < kUnroll; b += kBatch) {
          uint4 x[kBatch][kTokenTiles];
#pragma unroll
          for (int i = 0; i < kBatch; ++i) {
            const int column = c + (b + i) * kConsumerWarps * kChunkK;
#pragma unroll
            for (int t = 0; t < kTokenTiles; ++t) {
              x[i][t] = make_uint4(0, 0, 0, 0);
              if (column < columns && x_rows[t] != nullptr) {
                x[i][t] = __ldg(reinterpret_cast<const uint4*>(x_rows[t] + k + column));
              }
            }
          }
          if (!ready) barrier_wait(&full_[stage_], round_ & 1), ready = true;
#pragma unroll
          for (int i = 0; i < kBatch; ++i) {
            const int column = c + (b + i) * kConsumerWarps * kChunkK;
            if (column >= columns) continue;
#pragma unroll
            for (int r = 0; r < kRowTiles; ++r) {
              const char* at = stage + r * kTileRows * pitch_ + column * sizeof(T);
              const uint4 low = *reinterpret_cast<const uint4*>(at);
              const uint4 high = *reinterpret_cast<const uint4*>(at + 8 * pitch_);
#pragma unroll
              for (int t = 0; t < kTokenTiles; ++t) {
                // The order of columns within a chunk is free as long as both sides share it.
                mma<T>(sums[r][t], low.x, high.x, low.y, high.y, x[i][t].x, x[i][t].y);
                mma<T>(sums[r][t], low.z, high.z, low.w, high.w, x[i][t].z, x[i][t].w);
              }
            }
          }
        }
      }
      if (!ready) barrier_wait(&full_[stage_], round_ & 1);
      __syncwarp();
      if (lane == 0) barrier_arrive(&empty_[stage_]);
      if (++stage_ == plan_.num_stages) stage_ = 0, ++round_;
    }
    add_up<kTokenTiles>(unit, sums);
  }

 private:
  static constexpr int kUnroll = 4;

  template <int kTokenTiles>
  __device__ void add_up(const Unit& unit, const float (&sums)[kRowTiles][kTokenTiles][4]) {
    constexpr int kTileValues = kTileRows * kTileTokens;
    constexpr int kValues = kRowTiles * kTokenTiles * kTileValues;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    // Two buffers: a warp may write the next unit's sums while another still reads these.
    float* buffer = sums_ + turn_ * sums_size_;
    turn_ ^= 1;
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          buffer[warp * kValues + ((r * kTokenTiles + t) * 4 + c) * 32 + lane] = sums[r][t][c];
        }
      }
    }
    consumers_sync();
    const bool swiglu = plan_.p.epilogue == StreamEpilogue::kSwiglu;
    // Value i is register (i / 32) % 4 of lane i % 32: row group + 8 * (register / 2) of the tile,
    // token 2 * (lane % 4) + register % 2.
    for (int i = threadIdx.x; i < kValues; i += kConsumerThreads) {
      const int reg = i / 32 % 4;
      if (swiglu && reg >= 2) continue;
      const int tile = i / kTileValues;
      const int token = tile % kTokenTiles * kTileTokens + i % 4 * 2 + reg % 2;
      const int row = unit.matrix_row + tile / kTokenTiles * kTileRows + i % 32 / 4 + reg / 2 * 8;
      if (token >= unit.count || row >= plan_.p.out_size) continue;
      const float value = total<kValues>(buffer + i);
      const int64_t out_row = (unit.token_begin + token) * plan_.p.out_stride;
      switch (plan_.p.epilogue) {
        case StreamEpilogue::kSwiglu: {
          const float up = total<kValues>(buffer + i + 64);
          const int column = (row - row % kTileRows) / 2 + row % kTileRows;
          static_cast<T*>(plan_.p.out)[out_row + column] = from_float<T>(silu(value) * up);
          break;
        }
        case StreamEpilogue::kAddF32:
          static_cast<float*>(plan_.p.out)[out_row + row] += value;
          break;
        case StreamEpilogue::kStoreF32:
          static_cast<float*>(plan_.p.out)[out_row + row] = value + bias(row);
          break;
        case StreamEpilogue::kStore:
          static_cast<T*>(plan_.p.out)[out_row + row] = from_float<T>(value + bias(row));
          break;
      }
    }
  }

  __device__ float bias(int row) const {
    return plan_.p.bias == nullptr ? 0.0f : __ldg(plan_.p.bias + row);
  }

  template <int kValues>
  __device__ float total(const float* first) const {
    float sum = first[0];
#pragma unroll
    for (int w = 1; w < kConsumerWarps; ++w) sum += first[w * kValues];
    return sum;
  }

  const Plan& plan_;
  const char* stages_;
  uint64_t* full_;
  uint64_t* empty_;
  float* sums_;
  int sums_size_;
  int pitch_;
  int stage_ = 0;
  uint32_t round_ = 0;
  int turn_ = 0;
};

template <class T, int kRowTiles, int kTokenTiles>
__device__ void consume_unit(Consumer<T, kRowTiles>& consumer, const Unit& unit) {
  if constexpr (kTokenTiles > 1) {
    if (unit.count <= kTokenTiles / 2 * kTileTokens) {
      return consume_unit<T, kRowTiles, kTokenTiles / 2>(consumer, unit);
    }
  }
  consumer.template consume<kTokenTiles>(unit);
}

// Bytes of the sums of all warps for one unit.
__host__ __device__ constexpr int sums_values(int row_tiles, int token_tiles) {
  return kConsumerWarps * row_tiles * token_tiles * kTileRows * kTileTokens;
}

template <class T, int kRowTiles, int kTokenTiles>
__global__ void __launch_bounds__(kThreads, 1)
    stream_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ __align__(128) char shared[];
  __shared__ uint64_t full[kMaxStages];
  __shared__ uint64_t empty[kMaxStages];
  __shared__ int first_units[kMaxExperts + 1];
  constexpr int kSums = sums_values(kRowTiles, kTokenTiles);
  constexpr int kUnitRows = kTileRows * kRowTiles;
  constexpr int kUnitTokens = kTileTokens * kTokenTiles;
  float* sums = reinterpret_cast<float*>(shared);
  char* stages = shared + 2 * kSums * sizeof(float);
  const int warp = threadIdx.x / 32;
  const bool grouped = plan.p.expert_offsets != nullptr;

  if (threadIdx.x == 0) {
    for (int s = 0; s < plan.num_stages; ++s) {
      barrier_init(&full[s], 1);
      barrier_init(&empty[s], kConsumerWarps);
    }
    barrier_init_fence();
  }
  if (grouped) wait_for_earlier_kernels();
  if (warp == kConsumerWarps) number_units(plan, kUnitTokens, first_units);
  __syncthreads();
  let_next_kernel_start();

  const int64_t num_units = first_units[plan.p.num_experts];
  const int begin = static_cast<int>(blockIdx.x * num_units / gridDim.x);
  const int end = static_cast<int>((blockIdx.x + 1) * num_units / gridDim.x);
  if (begin == end) return;
  UnitWalk walk(plan, first_units, kUnitRows, kUnitTokens, begin);
  if (warp == kConsumerWarps) {
    // The weights of one matrix depend on no earlier kernel: they come while it still runs.
    Feeder<T, kRowTiles> feeder(plan, stages, full, empty);
    for (int u = begin; u < end; ++u) feeder.feed(walk.next());
  } else {
    if (!grouped) wait_for_earlier_kernels();
    Consumer<T, kRowTiles> consumer(plan, stages, full, empty, sums, kSums);
    for (int u = begin; u < end; ++u) consume_unit<T, kRowTiles, kTokenTiles>(consumer, walk.next());
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "stream_gemm: " + what);
}

void check_params(const StreamGemmParams& p, const StreamGemmConfig& config) {
  if (p.type == ElementType::kF32) refuse("type is float32: bfloat16 or float16 is wanted");
  if (p.in_size <= 0 || p.in_size % kChunkK != 0) {
    refuse("in_size is " + std::to_string(p.in_size) + ": a positive multiple of 32 is wanted");
  }
  if (p.out_size <= 0 || (p.epilogue == StreamEpilogue::kSwiglu && p.out_size % kTileRows != 0)) {
    refuse("out_size is " + std::to_string(p.out_size) +
           ": above 0, and for swiglu a multiple of 16, is wanted");
  }
  if (p.num_experts < 1 || p.num_experts > kMaxExperts ||
      (p.num_experts > 1 && p.expert_offsets == nullptr)) {
    refuse("num_experts is " + std::to_string(p.num_experts) +
           ": 1 to 2048, with expert_offsets where there are several, is wanted");
  }
  if (p.x_stride % 8 != 0 || reinterpret_cast<uintptr_t>(p.x) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(p.w) % 16 != 0) {
    refuse("x and w are wanted aligned to 16 bytes, x_stride a multiple of 8");
  }
  if (config.stage_k % kChunkK != 0 || config.num_stages < 2 || config.num_stages > kMaxStages ||
      config.shared_bytes > kMaxShared) {
    refuse("stages of " + std::to_string(config.stage_k) + " columns, " +
           std::to_string(config.num_stages) + " of them, do not fit");
  }
}

int shared_bytes(const StreamGemmConfig& config) {
  return 2 * sums_values(config.row_tiles, config.token_tiles) * static_cast<int>(sizeof(float)) +
         config.num_stages * kTileRows * config.row_tiles * row_pitch(config.stage_k);
}

template <class T, int kRowTiles, int kTokenTiles>
void launch(const Plan& plan, const StreamGemmConfig& config, int grid, cudaStream_t stream) {
  const auto kernel = stream_gemm_kernel<T, kRowTiles, kTokenTiles>;
  GLMOE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  config.shared_bytes));
  launch_kernel(kernel, dim3(static_cast<unsigned>(grid)), dim3(kThreads),
                static_cast<size_t>(config.shared_bytes), stream, plan);
}

template <class T>
void choose(const Plan& plan, const StreamGemmConfig& config, int grid, cudaStream_t stream) {
  switch (config.row_tiles * 16 + config.token_tiles) {
    case 16 + 1: return launch<T, 1, 1>(plan, config, grid, stream);
    case 16 + 2: return launch<T, 1, 2>(plan, config, grid, stream);
    case 32 + 2: return launch<T, 2, 2>(plan, config, grid, stream);
    case 32 + 4: return launch<T, 2, 4>(plan, config, grid, stream);
    default:
      refuse("no kernel for " + std::to_string(config.row_tiles) + " row tiles and " +
             std::to_string(config.token_tiles) + " token tiles");
  }
}

}  // namespace

StreamGemmConfig stream_gemm_config(const StreamGemmParams& p) {
  StreamGemmConfig config;
  // Rows that a matrix meets: with experts the mean, since a unit takes as few tiles as it needs.
  const int rows = (p.num_rows + p.num_experts - 1) / p.num_experts;
  config.row_tiles = rows > 4 && (p.num_experts > 1 || rows > 8) ? 2 : 1;
  config.token_tiles = config.row_tiles == 1 ? (p.num_experts > 1 ? 2 : 1) : (rows > 8 ? 4 : 2);
  if (p.num_experts == 1 && rows <= 16 && rows > 8) config.token_tiles = 2;
  // Stages of equal length, of about 32 KiB.
  const int longest = kStageElements / (kTileRows * config.row_tiles);
  const int stages = (p.in_size + longest - 1) / longest;
  const int stage_k = (p.in_size + stages - 1) / stages;
  config.stage_k = (stage_k + kChunkK - 1) / kChunkK * kChunkK;
  config.num_stages = kMaxStages;
  while (config.num_stages > 2 && shared_bytes(config) > kMaxShared - 12 * 1024) --config.num_stages;
  config.shared_bytes = shared_bytes(config);
  return config;
}

void launch_stream_gemm(const StreamGemmParams& params, const StreamGemmConfig& config, int num_sms,
                        cudaStream_t stream) {
  check_params(params, config);
  if (params.num_rows == 0) return;
  Plan plan{.p = params,
            .stage_k = config.stage_k,
            .num_stages = config.num_stages,
            .stages_a_unit = (params.in_size + config.stage_k - 1) / config.stage_k,
            .units_a_matrix = (params.out_size + kTileRows * config.row_tiles - 1) /
                              (kTileRows * config.row_tiles)};
  const int64_t most_units = static_cast<int64_t>(plan.units_a_matrix) *
                             (params.expert_offsets != nullptr ? params.num_rows : 1) *
                             ((params.num_rows + 8 * config.token_tiles - 1) / (8 * config.token_tiles));
  const int grid = static_cast<int>(std::min<int64_t>(num_sms, std::max<int64_t>(most_units, 1)));
  if (params.type == ElementType::kBf16) {
    choose<__nv_bfloat16>(plan, config, grid, stream);
  } else {
    choose<__half>(plan, config, grid, stream);
  }
}

void launch_stream_gemm(const StreamGemmParams& params, int num_sms, cudaStream_t stream) {
  launch_stream_gemm(params, stream_gemm_config(params), num_sms, stream);
}

}  // namespace glmoe::cuda
