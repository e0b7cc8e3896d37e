#include "kernels/cuda/gemm/stream_gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <string>

#include "glmoe/error.h"
#include "kernels/cuda/common/bulk_copy.cuh"
#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/mma.cuh"
#include "kernels/cuda/common/tensor_map.h"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kConsumerWarps = 8;
constexpr int kConsumerThreads = kConsumerWarps * 32;
constexpr int kThreads = kConsumerThreads + 32;  // and one warp that feeds them
constexpr int kTileRows = 16;                    // of the matrix: the mma's m
constexpr int kTileTokens = 8;                   // of x: the mma's n
constexpr int kChunkK = 32;                      // columns that a warp takes at a time: two mma
constexpr int kPanel = 64;                       // columns in a panel of shared memory: 128 bytes
constexpr int kMaxStages = 8;
constexpr int kMaxExperts = 2048;
// Of the 227 KiB of a block: the numbering of the units takes the rest, and aligning a little.
constexpr int kMaxDynamicShared = (227 - 17) * 1024;
constexpr int kAlignment = 1024;  // of a panel, so that its swizzle begins with its first row

// A stage: panels of 64 columns of the unit's rows of the matrix, each [rows][128 bytes] with the
// 16-byte pieces of a row swizzled by the copy engine (piece ^ row % 8); behind them the rows of x,
// as such panels too, or, where every row is copied by itself, one behind the other with 16 bytes
// between, so that eight rows' pieces lie in different banks either way.
__host__ __device__ constexpr int row_pitch(int stage_k) { return stage_k * 2 + 16; }
__host__ __device__ constexpr int stage_bytes(int rows, int tokens, int stage_k) {
  const int x_bytes = tokens * row_pitch(stage_k);
  return rows * stage_k * 2 + (x_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// What the host works out once.
struct Plan {
  // [K / 64][E * N][64], boxes of a stage; with gate_up_halves [K / 64][groups of 8 rows of
  // gate][gate or up][8][64], so that a box has the rows of both in turns.
  CUtensorMap w_map;
  CUtensorMap x_map;  // [K / 64][M][64]; only without experts
  StreamGemmParams p;
  int stage_k, num_stages, stages_a_unit;
  int units_a_matrix;  // row units of one matrix
};

// A unit of work: kTileRows * kRowTiles rows of one matrix with a tile of x's rows.
struct Unit {
  int expert;
  int matrix_row;          // first row of the matrix
  int token_begin, count;  // rows of out
};

// The experts' rows and units, in shared memory.
struct Numbering {
  int offsets[kMaxExperts + 1];      // first row of out of each expert, and the total
  int first_units[kMaxExperts + 1];  // first unit of each, and the total
};

// One warp fills it. Units are numbered alike by all blocks: expert by expert, then rows of the
// matrix, then tiles of tokens (neighbours read the same weights).
__device__ void number_units(const Plan& plan, int tokens_a_unit, Numbering& numbering) {
  const int lane = threadIdx.x % 32;
  const int num_experts = plan.p.num_experts;
  int total = 0;
  for (int base = 0; base < num_experts; base += 32) {
    const int e = base + lane;
    int units = 0;
    if (e < num_experts) {
      int begin = 0;
      int end = plan.p.num_rows;
      if (plan.p.expert_offsets != nullptr) {
        begin = plan.p.expert_offsets[e];
        end = plan.p.expert_offsets[e + 1];
      }
      numbering.offsets[e] = begin;
      if (e + 1 == num_experts) numbering.offsets[num_experts] = end;
      units = (end - begin + tokens_a_unit - 1) / tokens_a_unit * plan.units_a_matrix;
    }
    int sum = units;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, distance);
      if (lane >= distance) sum += other;
    }
    if (e < num_experts) numbering.first_units[e] = total + sum - units;
    total += __shfl_sync(0xffffffffu, sum, 31);
  }
  if (lane == 0) numbering.first_units[num_experts] = total;
}

// Walks over a block's units: every gridDim.x-th, so that all blocks together read one stretch of
// memory after the other (blocks with a stretch each were up to a tenth slower).
class UnitWalk {
 public:
  __device__ UnitWalk(int num_experts, const Numbering& numbering, int rows_a_unit,
                      int tokens_a_unit, int first_unit, int step)
      : numbering_(numbering),
        rows_a_unit_(rows_a_unit),
        tokens_a_unit_(tokens_a_unit),
        unit_(first_unit),
        step_(step) {
    int low = 0;
    int high = num_experts;
    while (high - low > 1) {  // the last expert whose first unit is not after this one
      const int middle = (low + high) / 2;
      if (numbering.first_units[middle] <= first_unit) {
        low = middle;
      } else {
        high = middle;
      }
    }
    expert_ = low;
  }
  __device__ Unit next() {
    while (unit_ >= numbering_.first_units[expert_ + 1]) ++expert_;
    const int begin = numbering_.offsets[expert_];
    const int end = numbering_.offsets[expert_ + 1];
    const int local = unit_ - numbering_.first_units[expert_];
    unit_ += step_;
    if (end - begin <= tokens_a_unit_) {
      return {expert_, local * rows_a_unit_, begin, end - begin};
    }
    const int token_tiles = (end - begin + tokens_a_unit_ - 1) / tokens_a_unit_;
    const int token_begin = begin + local % token_tiles * tokens_a_unit_;
    return {expert_, local / token_tiles * rows_a_unit_, token_begin,
            min(end - token_begin, tokens_a_unit_)};
  }

 private:
  const Numbering& numbering_;
  int rows_a_unit_, tokens_a_unit_, unit_, step_, expert_;
};

// The feeding warp's side of the ring of stages.
template <int kRowTiles, int kTokenTiles>
class Feeder {
 public:
  static constexpr int kRows = kTileRows * kRowTiles;
  static constexpr int kTokens = kTileTokens * kTokenTiles;
  __device__ Feeder(const Plan& plan, const Numbering& numbering, char* stages, uint64_t* full,
                    uint64_t* empty, int num_units)
      : plan_(plan),
        numbering_(numbering),
        stages_(stages),
        full_(full),
        empty_(empty),
        policy_(evict_first_policy()),
        grouped_(plan.p.expert_offsets != nullptr),
        num_units_(num_units) {}

  // The weights of one matrix depend on no earlier kernel: as many of them as the ring holds are on
  // their way before the activations are waited for.
  __device__ void run() {
    Cursor cursor(*this);
    if (!grouped_) {
      Cursor activations(*this);
      const int first =
          min(plan_.num_stages,
              ((num_units_ - 1 - static_cast<int>(blockIdx.x)) / static_cast<int>(gridDim.x) + 1) *
                  plan_.stages_a_unit);
      for (int i = 0; i < first; ++i, cursor.step()) {
        announce(cursor);
        copy_weights(cursor);
      }
      wait_for_earlier_kernels();
      for (int i = 0; i < first; ++i, activations.step()) copy_activations(activations);
    }
    for (; cursor.unit_number < num_units_; cursor.step()) {
      if (cursor.round > 0) barrier_wait(&empty_[cursor.stage], (cursor.round - 1) & 1);
      announce(cursor);
      copy_weights(cursor);
      copy_activations(cursor);
    }
  }

 private:
  // A stage of a unit, and its place in the ring. Each lane has its row of x in mind.
  struct Cursor {
    __device__ explicit Cursor(Feeder& f)
        : feeder(f),
          walk(f.plan_.p.num_experts, f.numbering_, kRows, kTokens, static_cast<int>(blockIdx.x),
               static_cast<int>(gridDim.x)),
          unit_number(static_cast<int>(blockIdx.x)) {
      enter(walk.next());
    }
    __device__ void enter(const Unit& next) {
      unit = next;
      k = 0;
      const StreamGemmParams& p = feeder.plan_.p;
      if (!feeder.grouped_) return;
      const int lane = threadIdx.x % 32;
      int row = unit.token_begin + lane;
      if (lane < unit.count && p.source_slots != nullptr) {
        row = p.source_slots[row] / p.slots_per_row;
      }
      x_row = static_cast<const char*>(p.x) + row * p.x_stride * 2;
    }
    __device__ void step() {
      const Plan& plan = feeder.plan_;
      if (++stage == plan.num_stages) stage = 0, ++round;
      k += plan.stage_k;
      if (k < plan.p.in_size) return;
      unit_number += gridDim.x;
      if (unit_number < feeder.num_units_) enter(walk.next());
    }
    __device__ uint32_t row_bytes() const {
      return min(feeder.plan_.stage_k, feeder.plan_.p.in_size - k) * 2;
    }

    Feeder& feeder;
    UnitWalk walk;
    Unit unit;
    const char* x_row = nullptr;
    int unit_number;
    int k = 0;
    int stage = 0;
    uint32_t round = 0;
  };

  __device__ char* stage(const Cursor& at) const {
    return stages_ + at.stage * stage_bytes(kRows, kTokens, plan_.stage_k);
  }
  __device__ char* stage_x(const Cursor& at) const { return stage(at) + kRows * plan_.stage_k * 2; }
  // A box counts whole, also where it reaches beyond the matrix (zeros come instead).
  __device__ void announce(const Cursor& at) {
    if (threadIdx.x % 32 == 0) {
      const uint32_t weights = kRows * plan_.stage_k * 2;
      const uint32_t x = grouped_ ? at.unit.count * at.row_bytes() : kTokens * plan_.stage_k * 2;
      barrier_arrive_expecting(&full_[at.stage], weights + x);
    }
    __syncwarp();
  }
  __device__ void copy_weights(const Cursor& at) {
    if (threadIdx.x % 32 != 0) return;
    if (plan_.p.gate_up_halves) {
      const int group = at.unit.expert * (plan_.p.out_size / 8) + at.unit.matrix_row / kTileRows;
      box_copy_5d(stage(at), &plan_.w_map, 0, group, at.k / kPanel, &full_[at.stage], policy_);
      return;
    }
    const int row = at.unit.expert * plan_.p.out_size + at.unit.matrix_row;
    box_copy(stage(at), &plan_.w_map, 0, row, at.k / kPanel, &full_[at.stage], policy_);
  }
  __device__ void copy_activations(const Cursor& at) {
    const int lane = threadIdx.x % 32;
    if (grouped_) {
      if (lane >= at.unit.count) return;
      bulk_copy(stage_x(at) + lane * row_pitch(plan_.stage_k), at.x_row + at.k * 2, at.row_bytes(),
                &full_[at.stage]);
    } else if (lane == 0) {
      box_copy(stage_x(at), &plan_.x_map, 0, at.unit.token_begin, at.k / kPanel, &full_[at.stage]);
    }
  }

  const Plan& plan_;
  const Numbering& numbering_;
  char* stages_;
  uint64_t* full_;
  uint64_t* empty_;
  uint64_t policy_;
  bool grouped_;
  int num_units_;
};

__device__ inline void consumers_sync() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumerThreads) : "memory");
}

__device__ inline float silu(float x) { return x / (1.0f + __expf(-x)); }

// The multiplying warps' side. Warp w takes the chunks w, w + 8, ... of a row, whatever the stages;
// the warps' sums are added in the warps' order.
template <class T, int kRowTiles, int kTokenTiles, bool kGrouped>
class Consumer {
 public:
  static constexpr int kRows = kTileRows * kRowTiles;
  static constexpr int kTokens = kTileTokens * kTokenTiles;
  __device__ Consumer(const Plan& plan, const char* stages, uint64_t* full, uint64_t* empty,
                      float* sums)
      : plan_(plan), stages_(stages), full_(full), empty_(empty), sums_(sums) {}

  // With as few tiles of tokens as the unit needs.
  template <int kTiles = kTokenTiles>
  __device__ void consume(const Unit& unit) {
    if constexpr (kTiles > 1) {
      if (unit.count <= kTiles / 2 * kTileTokens) return consume<kTiles / 2>(unit);
    }
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    // The rows and pieces whose addresses this lane gives to ldmatrix: of the matrix the quarters
    // of 16 x 16 (rows 0-7 and 8-15 of the first piece, then of the second), of x 8 x 32.
    const int w_row = lane % 16;
    const int w_piece = lane / 16;
    const int x_row = lane % 8;
    const int x_piece = lane / 8;
    float sums[kRowTiles][kTiles][4] = {};
    for (int k = 0; k < plan_.p.in_size; k += plan_.stage_k) {
      const int columns = min(plan_.stage_k, plan_.p.in_size - k);
      const uint32_t weights =
          shared_address(stages_) + stage_ * stage_bytes(kRows, kTokens, plan_.stage_k);
      const uint32_t x_base = weights + kRows * plan_.stage_k * 2;
      barrier_wait(&full_[stage_], round_ & 1);
#pragma unroll 2
      for (int c = warp * kChunkK; c < columns; c += kConsumerWarps * kChunkK) {
        const int panel = c / kPanel;
        const int piece = c % kPanel / 8;  // of its panel's eight: 0 or 4
        uint32_t x[kTiles][4];
#pragma unroll
        for (int t = 0; t < kTiles; ++t) {
          const int row = t * kTileTokens + x_row;
          const uint32_t at =
              kGrouped ? row * row_pitch(plan_.stage_k) + c * 2 + x_piece * 16
                       : (panel * kTokens + row) * 128 + ((piece + x_piece) ^ (row % 8)) * 16;
          load_matrices(x[t], x_base + at);
        }
#pragma unroll
        for (int r = 0; r < kRowTiles; ++r) {
          const int row = r * kTileRows + w_row;
          const uint32_t panel_row = weights + (panel * kRows + row) * 128;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            uint32_t w[4];
            load_matrices(w, panel_row + ((piece + half * 2 + w_piece) ^ (row % 8)) * 16);
#pragma unroll
            for (int t = 0; t < kTiles; ++t) {
              multiply_add<T>(sums[r][t], w, x[t][2 * half], x[t][2 * half + 1]);
            }
          }
        }
      }
      __syncwarp();
      if (lane == 0) barrier_arrive(&empty_[stage_]);
      if (++stage_ == plan_.num_stages) stage_ = 0, ++round_;
    }
    add_up<kTiles>(unit, sums);
  }

 private:
  template <int kTiles>
  __device__ void add_up(const Unit& unit, const float (&sums)[kRowTiles][kTiles][4]) {
    constexpr int kTileValues = kTileRows * kTileTokens;
    constexpr int kValues = kRowTiles * kTiles * kTileValues;
    const int warp = threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    consumers_sync();  // the last unit's sums have been read
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          sums_[warp * kValues + ((r * kTiles + t) * 4 + c) * 32 + lane] = sums[r][t][c];
        }
      }
    }
    consumers_sync();
    const bool swiglu = plan_.p.epilogue == StreamEpilogue::kSwiglu;
    // Value i is register (i / 32) % 4 of lane i % 32: row lane / 4 + 8 * (register / 2) of the
    // tile, token 2 * (lane % 4) + register % 2.
    for (int i = threadIdx.x; i < kValues; i += kConsumerThreads) {
      const int reg = i / 32 % 4;
      if (swiglu && reg >= 2) continue;
      const int tile = i / kTileValues;
      const int token = tile % kTiles * kTileTokens + i % 4 * 2 + reg % 2;
      const int row = unit.matrix_row + tile / kTiles * kTileRows + i % 32 / 4 + reg / 2 * 8;
      if (token >= unit.count || row >= plan_.p.out_size) continue;
      const float value = total<kValues>(sums_ + i);
      const int64_t out_row = (unit.token_begin + token) * plan_.p.out_stride;
      switch (plan_.p.epilogue) {
        case StreamEpilogue::kSwiglu: {
          const float up = total<kValues>(sums_ + i + 64);
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
  int stage_ = 0;
  uint32_t round_ = 0;
};

// Sums of all warps for one unit.
__host__ __device__ constexpr int sums_bytes(int row_tiles, int token_tiles) {
  return kConsumerWarps * row_tiles * token_tiles * kTileRows * kTileTokens * 4;
}

template <class T, int kRowTiles, int kTokenTiles, bool kGrouped>
__global__ void __launch_bounds__(kThreads, 1)
    stream_gemm_kernel(const __grid_constant__ Plan plan) {
  extern __shared__ char unaligned[];
  __shared__ uint64_t full[kMaxStages];
  __shared__ uint64_t empty[kMaxStages];
  __shared__ Numbering numbering;
  char* stages = unaligned + (-shared_address(unaligned) & (kAlignment - 1));
  float* sums = reinterpret_cast<float*>(
      stages + plan.num_stages *
                   stage_bytes(kTileRows * kRowTiles, kTileTokens * kTokenTiles, plan.stage_k));
  const int warp = threadIdx.x / 32;

  if (threadIdx.x == 0) {
    for (int s = 0; s < plan.num_stages; ++s) {
      barrier_init(&full[s], 1);
      barrier_init(&empty[s], kConsumerWarps);
    }
    barrier_init_fence();
  }
  if (kGrouped) wait_for_earlier_kernels();
  if (warp == kConsumerWarps) number_units(plan, kTileTokens * kTokenTiles, numbering);
  __syncthreads();
  let_next_kernel_start();

  const int num_units = numbering.first_units[plan.p.num_experts];
  if (blockIdx.x >= num_units) return;
  if (warp == kConsumerWarps) {
    Feeder<kRowTiles, kTokenTiles>(plan, numbering, stages, full, empty, num_units).run();
  } else {
    if (!kGrouped) wait_for_earlier_kernels();
    Consumer<T, kRowTiles, kTokenTiles, kGrouped> consumer(plan, stages, full, empty, sums);
    UnitWalk walk(plan.p.num_experts, numbering, kTileRows * kRowTiles, kTileTokens * kTokenTiles,
                  static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
    for (int u = blockIdx.x; u < num_units; u += gridDim.x) consumer.consume(walk.next());
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "stream_gemm: " + what);
}

void check_params(const StreamGemmParams& p, const StreamGemmConfig& config) {
  if (p.type == ElementType::kF32) refuse("type is float32: bfloat16 or float16 is wanted");
  if (p.in_size <= 0 || p.in_size % kPanel != 0) {
    refuse("in_size is " + std::to_string(p.in_size) + ": a positive multiple of 64 is wanted");
  }
  if (p.out_size <= 0 || (p.epilogue == StreamEpilogue::kSwiglu && p.out_size % kTileRows != 0)) {
    refuse("out_size is " + std::to_string(p.out_size) +
           ": above 0, and for swiglu a multiple of 16, is wanted");
  }
  if (p.gate_up_halves && p.epilogue != StreamEpilogue::kSwiglu) {
    refuse("gate_up_halves goes with swiglu alone");
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
  if (config.stage_k % kPanel != 0 || config.num_stages < 2 || config.num_stages > kMaxStages ||
      config.shared_bytes > kMaxDynamicShared) {
    refuse("stages of " + std::to_string(config.stage_k) + " columns, " +
           std::to_string(config.num_stages) + " of them, do not fit");
  }
}

int shared_bytes(const StreamGemmConfig& config) {
  return kAlignment + sums_bytes(config.row_tiles, config.token_tiles) +
         config.num_stages * stage_bytes(kTileRows * config.row_tiles,
                                         kTileTokens * config.token_tiles, config.stage_k);
}

template <class T, int kRowTiles, int kTokenTiles>
void launch(const Plan& plan, const StreamGemmConfig& config, int grid, cudaStream_t stream) {
  const auto kernel = plan.p.expert_offsets != nullptr
                          ? stream_gemm_kernel<T, kRowTiles, kTokenTiles, true>
                          : stream_gemm_kernel<T, kRowTiles, kTokenTiles, false>;
  GLMOE_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  config.shared_bytes));
  launch_kernel(kernel, dim3(static_cast<unsigned>(grid)), dim3(kThreads),
                static_cast<size_t>(config.shared_bytes), stream, plan);
}

template <class T>
void choose(const Plan& plan, const StreamGemmConfig& config, int grid, cudaStream_t stream) {
  switch (config.row_tiles * 16 + config.token_tiles) {
    case 16 + 1: return launch<T, 1, 1>(plan, config, grid, stream);
    case 32 + 2: return launch<T, 2, 2>(plan, config, grid, stream);
    case 32 + 4: return launch<T, 2, 4>(plan, config, grid, stream);
    default:
      refuse("no kernel for " + std::to_string(config.row_tiles) + " row tiles and " +
             std::to_string(config.token_tiles) + " token tiles");
  }
}

// Rows of in_size elements, stride apart, as panels of 64 columns; boxes of box_rows rows and
// stage_k columns.
CUtensorMap panel_map(const void* data, int64_t rows, const StreamGemmParams& p, int64_t stride,
                      int box_rows, int stage_k) {
  return make_tensor_map(data, p.type, {kPanel, rows, p.in_size / kPanel}, {stride, kPanel},
                         {kPanel, box_rows, stage_k / kPanel});
}

// The weights of all experts in boxes of row_tiles * 16 rows and stage_k columns.
CUtensorMap weight_map(const StreamGemmParams& p, const StreamGemmConfig& config) {
  if (!p.gate_up_halves) {
    return panel_map(p.w, int64_t{p.num_experts} * p.out_size, p, p.in_size,
                     kTileRows * config.row_tiles, config.stage_k);
  }
  constexpr int64_t kGroup = kTileRows / 2;
  const int64_t half = p.out_size / 2;  // rows of gate
  const int64_t groups = (int64_t{p.num_experts} * p.out_size - half) / kGroup;
  return make_tensor_map_5d(
      p.w, p.type, {kPanel, kGroup, 2, groups, p.in_size / kPanel},
      {p.in_size, half * p.in_size, kGroup * p.in_size, kPanel},
      {kPanel, static_cast<int>(kGroup), 2, config.row_tiles, config.stage_k / kPanel});
}

}  // namespace

StreamGemmConfig stream_gemm_config(const StreamGemmParams& p) {
  StreamGemmConfig config;
  // Rows that a matrix meets: with experts the mean, since a unit takes as few tiles as it needs.
  const int rows = (p.num_rows + p.num_experts - 1) / p.num_experts;
  // Measured on an H100. Experts want few stages: more of them in flight read no faster, and got in
  // each other's way. A warp's share of a row is the same in all, since stages are multiples of
  // what all warps take at a time.
  if (p.num_experts > 1) {
    config = rows > 8 ? StreamGemmConfig{2, 4, 512, 2} : StreamGemmConfig{2, 2, 512, 3};
  } else if (rows > 16) {
    config = {2, 4, 256, 5};
  } else {
    config = rows > 8 ? StreamGemmConfig{2, 2, 512, 3} : StreamGemmConfig{1, 1, 1024, 4};
  }
  constexpr int kStep = kConsumerWarps * kChunkK;
  config.stage_k = std::min(config.stage_k, (p.in_size + kStep - 1) / kStep * kStep);
  config.shared_bytes = shared_bytes(config);
  return config;
}

void launch_stream_gemm(const StreamGemmParams& params, const StreamGemmConfig& config, int num_sms,
                        cudaStream_t stream) {
  check_params(params, config);
  if (params.num_rows == 0) return;
  const int rows_a_unit = kTileRows * config.row_tiles;
  const int tokens_a_unit = kTileTokens * config.token_tiles;
  const bool grouped = params.expert_offsets != nullptr;
  Plan plan{.w_map = weight_map(params, config),
            .x_map = {},
            .p = params,
            .stage_k = config.stage_k,
            .num_stages = config.num_stages,
            .stages_a_unit = (params.in_size + config.stage_k - 1) / config.stage_k,
            .units_a_matrix = (params.out_size + rows_a_unit - 1) / rows_a_unit};
  if (!grouped) {
    plan.x_map = panel_map(params.x, params.num_rows, params, params.x_stride, tokens_a_unit,
                           config.stage_k);
  }
  const int64_t token_units =
      grouped ? params.num_rows : (params.num_rows + tokens_a_unit - 1) / tokens_a_unit;
  const int grid = static_cast<int>(std::min<int64_t>(num_sms, plan.units_a_matrix * token_units));
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
