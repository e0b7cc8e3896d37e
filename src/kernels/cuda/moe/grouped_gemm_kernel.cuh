// The grouped product's kernel, of CUTLASS's parts: TMA brings tiles of x and W into shared memory,
// WGMMA multiplies them. One warp of a block loads, two warpgroups multiply 64 rows each and store
// from registers. Experts' weights lie in one stack and their rows in one matrix, so two
// descriptors made on the host serve all experts, and nothing is prepared on the device.
#pragma once

#include <cutlass/arch/barrier.h>
#include <cutlass/arch/reg_reconfig.h>
#include <cstdint>
#include <cute/tensor.hpp>
#include <type_traits>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"
#include "kernels/cuda/moe/grouped_gemm.h"
#include "kernels/cuda/moe/grouped_gemm_tiles.cuh"
#include "kernels/cuda/moe/moe_checks.h"

namespace glmoe::cuda {

inline constexpr int kGemmThreads = 384;  // a warpgroup that loads, two that multiply
inline constexpr int kGroupThreads = 128;
inline constexpr int kTileK = 64;  // 128 bytes: the widest swizzle
inline constexpr int kGemmStages = 4;
// Steps of K that a stage holds in a narrow tile, 1 or 2: it has room for two, and fewer turns of
// the ring are what a narrow tile gains by.
inline constexpr int kNarrowSteps = 2;
inline constexpr int kNumbers = 2;  // of tiles under way to those who multiply
inline constexpr int kLoaderRegisters = 40;
inline constexpr int kMathRegisters = 232;

template <class T>
using CuteElement = std::conditional_t<std::is_same_v<T, __half>, cute::half_t, cute::bfloat16_t>;

template <class T, int kColumns>
struct ChooseMmaAtom;
template <>
struct ChooseMmaAtom<__nv_bfloat16, kTileColumns> {
  using Type = cute::SM90_64x256x16_F32BF16BF16_SS<cute::GMMA::Major::K, cute::GMMA::Major::K>;
};
template <>
struct ChooseMmaAtom<__nv_bfloat16, kTileColumns / 2> {
  using Type = cute::SM90_64x128x16_F32BF16BF16_SS<cute::GMMA::Major::K, cute::GMMA::Major::K>;
};
template <>
struct ChooseMmaAtom<__half, kTileColumns> {
  using Type = cute::SM90_64x256x16_F32F16F16_SS<cute::GMMA::Major::K, cute::GMMA::Major::K>;
};
template <>
struct ChooseMmaAtom<__half, kTileColumns / 2> {
  using Type = cute::SM90_64x128x16_F32F16F16_SS<cute::GMMA::Major::K, cute::GMMA::Major::K>;
};
template <class T, int kColumns>
using MmaAtom = typename ChooseMmaAtom<T, kColumns>::Type;

template <class T>
struct GemmTypes {
  using Element = CuteElement<T>;
  using Atom = cute::GMMA::Layout_K_SW128_Atom<Element>;
  // x: a warpgroup's rows are a tile of their own, two a stage.
  using XLayout = decltype(cute::tile_to_shape(
      Atom{}, cute::Shape<cute::Int<kGroupRows>, cute::Int<kTileK>, cute::Int<2 * kGemmStages>>{}));
  using WLayout = decltype(cute::tile_to_shape(
      Atom{}, cute::Shape<cute::Int<kTileColumns>, cute::Int<kTileK>, cute::Int<kGemmStages>>{}));
  // The same memory as halves, which are what is loaded.
  using WHalfLayout = decltype(cute::tile_to_shape(
      Atom{},
      cute::Shape<cute::Int<kTileColumns / 2>, cute::Int<kTileK>, cute::Int<2 * kGemmStages>>{}));
  template <int kColumns>
  using Mma = decltype(cute::make_tiled_mma(MmaAtom<T, kColumns>{}));

  static constexpr uint32_t kXBytes = kGroupRows * kTileK * sizeof(Element);
  static constexpr uint32_t kWBytes = kTileColumns * kTileK * sizeof(Element);
};

template <class T>
struct GemmShared {
  using Types = GemmTypes<T>;
  alignas(1024) typename Types::Element x[cute::cosize_v<typename Types::XLayout>];
  alignas(1024) typename Types::Element w[cute::cosize_v<typename Types::WLayout>];
  uint64_t full[kGemmStages];
  uint64_t empty[kGemmStages];
  // Numbers of the tiles to come, from the cluster's first block to both.
  uint64_t number_full[kNumbers];
  uint64_t number_empty[kNumbers];  // the first block's is used
  uint32_t numbers[kNumbers];
  // Then int offsets[E' + 1], tile_begin[E' + 1].
};

// A place in a ring of barriers and the parity of its turn.
template <int kPlaces>
struct RingPlace {
  int stage = 0;
  uint32_t phase = 0;

  __device__ void advance() {
    if (++stage == kPlaces) stage = 0, phase ^= 1;
  }
};

// Which tiles a cluster takes: its own number first, then whichever is next when it is ready, from
// a counter in device memory that all clusters share; without the counter, in even steps. The
// loading thread of the first block asks, and tells all the cluster's warpgroups and loaders.
template <class T>
class TileNumbers {
 public:
  __device__ TileNumbers(GemmShared<T>& shared, unsigned* counters)
      : shared_(shared), counters_(counters), number_(blockIdx.x / kCluster) {}

  __device__ static void init(GemmShared<T>& shared) {
    for (int i = 0; i < kNumbers; ++i) {
      cutlass::arch::ClusterTransactionBarrier::init(&shared.number_full[i], 1);
      // All warpgroups that multiply, and the other block's loader.
      cutlass::arch::ClusterBarrier::init(&shared.number_empty[i], 2 * kCluster + kCluster - 1);
    }
  }

  // For a block's loading thread: the next tile's number.
  __device__ int load_next() {
    uint64_t& full = shared_.number_full[place_.stage];
    if (blockIdx.x % kCluster != 0) {
      cutlass::arch::ClusterTransactionBarrier::arrive_and_expect_tx(&full, sizeof(uint32_t));
      const int number = read();
      give_back();
      return number;
    }
    cutlass::arch::ClusterBarrier::wait(&shared_.number_empty[place_.stage], place_.phase ^ 1);
    cutlass::arch::ClusterTransactionBarrier::arrive_and_expect_tx(&full, sizeof(uint32_t));
    for (int block = 0; block < kCluster; ++block) {
      cute::store_shared_remote(static_cast<uint32_t>(number_),
                                cute::cast_smem_ptr_to_uint(&shared_.numbers[place_.stage]),
                                cute::cast_smem_ptr_to_uint(&full), block);
    }
    place_.advance();
    const int own = number_;
    const int num_clusters = gridDim.x / kCluster;
    // On its way while the tile is loaded.
    number_ = counters_ == nullptr ? number_ + num_clusters
                                   : num_clusters + static_cast<int>(atomicAdd(counters_, 1));
    return own;
  }

  // For all threads of a warpgroup that multiplies, `group` 0 or 1 of its block.
  __device__ int next(int group) {
    const int number = read();
    // All have read it before the place is given back.
    cutlass::arch::NamedBarrier::arrive_and_wait(kGroupThreads, static_cast<uint32_t>(group));
    if (threadIdx.x % kGroupThreads == 0) {
      give_back();
    } else {
      place_.advance();
    }
    return number;
  }

  // By the first block's loading thread, when it has the last number: the last cluster to come sets
  // the counters back.
  __device__ void finish() {
    if (counters_ == nullptr || blockIdx.x % kCluster != 0) return;
    __threadfence();  // the own last step of the counter comes before
    if (atomicAdd(counters_ + 1, 1) != gridDim.x / kCluster - 1) return;
    counters_[0] = 0;
    counters_[1] = 0;
  }

 private:
  __device__ int read() {
    cutlass::arch::ClusterBarrier::wait(&shared_.number_full[place_.stage], place_.phase);
    return static_cast<int>(*static_cast<volatile const uint32_t*>(&shared_.numbers[place_.stage]));
  }

  __device__ void give_back() {
    cutlass::arch::ClusterBarrier::arrive(&shared_.number_empty[place_.stage], 0, true);
    place_.advance();
  }

  GemmShared<T>& shared_;
  unsigned* counters_;
  int number_;
  RingPlace<kNumbers> place_;
};

template <class T, class TmaX, class TmaW>
__device__ void load_tiles(const GroupedGemmParams& p, TileWalk walk, GemmShared<T>& shared,
                           const TmaX& tma_x, const TmaW& tma_w) {
  using namespace cute;
  using Types = GemmTypes<T>;
  const Tensor x = tma_x.get_tma_tensor(make_shape(static_cast<int>(p.max_rows), p.k));
  const Tensor w = tma_w.get_tma_tensor(make_shape(p.n, p.k, p.num_experts));
  const Tensor x_shared = make_tensor(make_smem_ptr(shared.x), typename Types::XLayout{});
  const Tensor w_shared = make_tensor(make_smem_ptr(shared.w), typename Types::WHalfLayout{});
  const auto x_slice = tma_x.get_slice(Int<0>{});
  const auto w_slice = tma_w.get_slice(Int<0>{});
  const Tensor x_to = x_slice.partition_D(x_shared);
  const Tensor w_to = w_slice.partition_D(w_shared);
  const int k_tiles = (p.k + kTileK - 1) / kTileK;
  const int rank = blockIdx.x % kCluster;
  TileNumbers<T> numbers(shared, p.counters);
  RingPlace<kGemmStages> place;
  GroupedTile tile;
  while (walk.find(numbers.load_next(), tile)) {
    // A warpgroup's rows each, as many as there are.
    const int num_boxes = (tile.num_rows + kGroupRows - 1) / kGroupRows;
    const auto x_from = [&](int row) {
      return x_slice.partition_S(local_tile(domain_offset(make_coord(row, 0), x),
                                            Shape<Int<kGroupRows>, Int<kTileK>>{},
                                            make_coord(0, _)));
    };
    const Tensor x_low = x_from(tile.first_row);
    const Tensor x_high = x_from(tile.first_row + kGroupRows);
    const int w_half = tile.first_column / (kTileColumns / 2) + (tile.narrow ? 0 : rank);
    const Tensor w_from = w_slice.partition_S(local_tile(
        w(_, _, tile.expert), Shape<Int<kTileColumns / 2>, Int<kTileK>>{}, make_coord(w_half, _)));
    if (tile.narrow) {
      // Behind an odd number's last step, TMA gives zeros.
      for (int k = 0; k < k_tiles; k += kNarrowSteps, place.advance()) {
        uint64_t& full = shared.full[place.stage];
        cutlass::arch::ClusterBarrier::wait(&shared.empty[place.stage], place.phase ^ 1);
        cutlass::arch::ClusterTransactionBarrier::arrive_and_expect_tx(
            &full, kNarrowSteps * (Types::kWBytes / 2 + Types::kXBytes));
        for (int i = 0; i < kNarrowSteps; ++i) {
          const int to = 2 * place.stage + i;
          copy(tma_w.with(full, static_cast<uint16_t>(1 << rank)), w_from(_, _, _, k + i),
               w_to(_, _, _, to));
          copy(tma_x.with(full), x_low(_, _, _, k + i), x_to(_, _, _, to));
        }
      }
      continue;
    }
    for (int k = 0; k < k_tiles; ++k, place.advance()) {
      uint64_t& full = shared.full[place.stage];
      // Both blocks' warpgroups have to be done with it: the weights go to both.
      constexpr uint16_t kBoth = 3;
      cutlass::arch::ClusterBarrier::wait(&shared.empty[place.stage], place.phase ^ 1);
      cutlass::arch::ClusterTransactionBarrier::arrive_and_expect_tx(
          &full, Types::kWBytes + num_boxes * Types::kXBytes);
      copy(tma_w.with(full, kBoth), w_from(_, _, _, k), w_to(_, _, _, 2 * place.stage + rank));
      if (num_boxes > 0) {
        copy(tma_x.with(full), x_low(_, _, _, k), x_to(_, _, _, 2 * place.stage));
      }
      if (num_boxes > 1) {
        copy(tma_x.with(full), x_high(_, _, _, k), x_to(_, _, _, 2 * place.stage + 1));
      }
    }
  }
  numbers.finish();
}

// Lane i of a quad ends with the others' values number i: values[j] is that of lane j.
__device__ inline void transpose_quad(uint32_t (&values)[4]) {
  const int lane = threadIdx.x % 4;
  const auto exchange = [](uint32_t& low, uint32_t& high, int distance, bool upper) {
    const uint32_t got = __shfl_xor_sync(0xffffffffu, upper ? low : high, distance);
    (upper ? low : high) = got;
  };
  exchange(values[0], values[1], 1, lane & 1);
  exchange(values[2], values[3], 1, lane & 1);
  exchange(values[0], values[2], 2, lane & 2);
  exchange(values[1], values[3], 2, lane & 2);
}

template <class T>
__device__ inline uint32_t pack_pair(float x, float y) {
  const typename PairOf<T>::Type pair = PairOf<T>::narrow(x, y);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

// The fast functions are within a few steps of F32: far below the rounding that follows.
__device__ inline float silu_mul(float gate, float up) {
  return up * __fdividef(gate, 1.0f + __expf(-gate));
}

// Sums of a warpgroup's tile as WGMMA leaves them: a thread has rows lane / 4 and lane / 4 + 8 of
// its warp's 16, and of every 8 columns two, from 2 * (lane % 4) on.
// The thread's two values of output block b (8 columns) in the lower or upper row.
template <class T, GroupedGemmEpilogue kEpilogue, class Sums>
__device__ uint32_t output_pair(const Sums& sums, int b, int upper) {
  if constexpr (kEpilogue == GroupedGemmEpilogue::kSiluMul) {
    const int gate = 8 * b + 2 * upper, up = gate + 4;
    return pack_pair<T>(silu_mul(sums(gate), sums(up)), silu_mul(sums(gate + 1), sums(up + 1)));
  } else {
    return pack_pair<T>(sums(4 * b + 2 * upper), sums(4 * b + 2 * upper + 1));
  }
}

template <class Out, GroupedGemmEpilogue kEpilogue, int kColumns, class Sums>
__device__ void store_tile(const GroupedGemmParams& p, const GroupedTile& tile, int group,
                           const Sums& sums) {
  constexpr int kColumnBlocks = kColumns / 8;
  constexpr int kShare = kEpilogue == GroupedGemmEpilogue::kSiluMul ? 2 : 1;
  const int width = p.n / kShare;
  const int first_column = tile.first_column / kShare;
  const int lane = threadIdx.x % 32;
  const int in_warp = threadIdx.x % kGroupThreads / 32 * 16 + lane / 4;
#pragma unroll
  for (int upper = 0; upper < 2; ++upper) {
    const int row = group * kGroupRows + in_warp + 8 * upper;
    Out* y = static_cast<Out*>(p.y) + static_cast<int64_t>(tile.first_row + row) * width;
    if constexpr (std::is_same_v<Out, float>) {
#pragma unroll
      for (int b = 0; b < kColumnBlocks; ++b) {
        const int column = first_column + 8 * b + 2 * (lane % 4);
        if (row < tile.num_rows && column < width) {
          *reinterpret_cast<float2*>(y + column) =
              make_float2(sums(4 * b + 2 * upper), sums(4 * b + 2 * upper + 1));
        }
      }
    } else {
      // Four blocks at a time: a lane gets one of them whole, and a quad stores 64 bytes.
#pragma unroll
      for (int b = 0; b < kColumnBlocks / kShare; b += 4) {
        uint32_t values[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) values[i] = output_pair<Out, kEpilogue>(sums, b + i, upper);
        transpose_quad(values);
        const int column = first_column + 8 * (b + lane % 4);
        if (row < tile.num_rows && column < width) {
          *reinterpret_cast<uint4*>(y + column) =
              make_uint4(values[0], values[1], values[2], values[3]);
        }
      }
    }
  }
}

// A thread for each block of the cluster tells it that this warpgroup is done with a stage.
template <class T>
__device__ inline void release_stage(GemmShared<T>& shared, int stage) {
  const unsigned block = threadIdx.x % kGroupThreads;
  if (block < kCluster) cutlass::arch::ClusterBarrier::arrive(&shared.empty[stage], block, true);
}

// One tile of kColumns columns by one warpgroup that has rows of it.
template <class T, class Out, GroupedGemmEpilogue kEpilogue, int kColumns>
__device__ void multiply_tile(const GroupedGemmParams& p, const GroupedTile& tile, int group,
                              GemmShared<T>& shared, RingPlace<kGemmStages>& place) {
  using namespace cute;
  using Types = GemmTypes<T>;
  // A narrow tile has two steps a stage: their x where another tile has both warpgroups' rows,
  // their weights where it has both halves of the columns.
  constexpr bool kNarrow = kColumns < kTileColumns;
  using WLayout = std::conditional_t<kNarrow, typename Types::WHalfLayout, typename Types::WLayout>;
  typename Types::template Mma<kColumns> mma;
  const auto slice = mma.get_slice(threadIdx.x % kGroupThreads);
  const Tensor x = slice.make_fragment_A(
      slice.partition_A(make_tensor(make_smem_ptr(shared.x), typename Types::XLayout{})));
  const Tensor w =
      slice.make_fragment_B(slice.partition_B(make_tensor(make_smem_ptr(shared.w), WLayout{})));
  Tensor sums = partition_fragment_C(mma, Shape<Int<kGroupRows>, Int<kColumns>>{});
  mma.accumulate_ = GMMA::ScaleOut::Zero;
  const int k_tiles = (p.k + kTileK - 1) / kTileK;
  int previous = -1;  // the stage that may still be read
  constexpr int kSteps = kNarrow ? kNarrowSteps : 1;
  for (int k = 0; k < k_tiles; k += kSteps, place.advance()) {
    cutlass::arch::ClusterBarrier::wait(&shared.full[place.stage], place.phase);
    warpgroup_fence_operand(sums);
    warpgroup_arrive();
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int x_at = 2 * place.stage + (kNarrow ? i : group);
      const int w_at = kNarrow ? 2 * place.stage + i : place.stage;
#pragma unroll
      for (int step = 0; step < size<2>(x); ++step) {
        gemm(mma, x(_, _, step, x_at), w(_, _, step, w_at), sums);
        mma.accumulate_ = GMMA::ScaleOut::One;
      }
    }
    warpgroup_commit_batch();
    warpgroup_wait<1>();
    warpgroup_fence_operand(sums);
    if (previous >= 0) release_stage(shared, previous);
    previous = place.stage;
  }
  warpgroup_wait<0>();
  warpgroup_fence_operand(sums);
  release_stage(shared, previous);
  store_tile<Out, kEpilogue, kColumns>(p, tile, group, sums);
}

template <class T, class Out, GroupedGemmEpilogue kEpilogue>
__device__ void multiply_tiles(const GroupedGemmParams& p, TileWalk walk, GemmShared<T>& shared) {
  const int group = cutlass::canonical_warp_group_idx() - 1;
  const int k_tiles = (p.k + kTileK - 1) / kTileK;
  TileNumbers<T> numbers(shared, nullptr);
  RingPlace<kGemmStages> place;
  GroupedTile tile;
  while (walk.find(numbers.next(group), tile)) {
    if (group * kGroupRows >= tile.num_rows) {
      // No rows here: one warp lets the stages pass. The others meet it at the next number.
      for (int k = 0; k < k_tiles; k += tile.narrow ? kNarrowSteps : 1, place.advance()) {
        if (threadIdx.x % kGroupThreads >= 32) continue;
        cutlass::arch::ClusterBarrier::wait(&shared.full[place.stage], place.phase);
        __syncwarp();
        release_stage(shared, place.stage);
      }
    } else if (tile.narrow) {
      multiply_tile<T, Out, kEpilogue, kTileColumns / 2>(p, tile, group, shared, place);
    } else {
      multiply_tile<T, Out, kEpilogue, kTileColumns>(p, tile, group, shared, place);
    }
  }
}

template <class T, class Out, GroupedGemmEpilogue kEpilogue, class TmaX, class TmaW>
__global__ void __launch_bounds__(kGemmThreads, 1)
    grouped_gemm_kernel(const GroupedGemmParams p, const __grid_constant__ TmaX tma_x,
                        const __grid_constant__ TmaW tma_w) {
  extern __shared__ __align__(1024) unsigned char memory[];
  GemmShared<T>& shared = *reinterpret_cast<GemmShared<T>*>(memory);
  int* offsets = reinterpret_cast<int*>(memory + sizeof(GemmShared<T>));
  int* tile_begin = offsets + p.num_experts + 1;
  if (threadIdx.x == 0) {
    cute::prefetch_tma_descriptor(tma_x.get_tma_descriptor());
    cute::prefetch_tma_descriptor(tma_w.get_tma_descriptor());
    for (int s = 0; s < kGemmStages; ++s) {
      cutlass::arch::ClusterTransactionBarrier::init(&shared.full[s], 1);
      cutlass::arch::ClusterBarrier::init(&shared.empty[s], 2 * kCluster);  // all its warpgroups
    }
    TileNumbers<T>::init(shared);
    cutlass::arch::fence_barrier_init();
  }
  cute::cluster_sync();
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int column_tiles = (p.n + kTileColumns - 1) / kTileColumns;
  prepare_tiles(p.expert_offsets, p.num_experts, column_tiles, offsets, tile_begin);
  const TileWalk walk(offsets, tile_begin, p.num_experts, column_tiles);
  if (cutlass::canonical_warp_group_idx() == 0) {
    cutlass::arch::warpgroup_reg_dealloc<kLoaderRegisters>();
    if (cutlass::canonical_warp_idx_sync() == 0 && cute::elect_one_sync()) {
      load_tiles<T>(p, walk, shared, tma_x, tma_w);
    }
  } else {
    cutlass::arch::warpgroup_reg_alloc<kMathRegisters>();
    multiply_tiles<T, Out, kEpilogue>(p, walk, shared);
  }
  // Neither block's shared memory may go while the other still writes to it.
  cute::cluster_sync();
}

// As launch_kernel (common/launch.cuh), by clusters.
template <class... Params, class... Args>
void launch_clusters_of(void (*kernel)(Params...), int num_blocks, size_t shared_bytes,
                        cudaStream_t stream, Args&&... args) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = kCluster;
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(num_blocks));
  config.blockDim = dim3(kGemmThreads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  GLMOE_CUDA(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

template <class T, class Out, GroupedGemmEpilogue kEpilogue>
void launch_clusters(const GroupedGemmParams& p, int num_blocks, cudaStream_t stream) {
  using namespace cute;
  using Types = GemmTypes<T>;
  using Element = typename Types::Element;
  const int64_t k = p.k;
  const auto x =
      make_tensor(make_gmem_ptr(static_cast<const Element*>(p.x)),
                  make_layout(make_shape(static_cast<int>(p.max_rows), p.k), make_stride(k, _1{})));
  const auto w =
      make_tensor(make_gmem_ptr(static_cast<const Element*>(p.weight)),
                  make_layout(make_shape(p.n, p.k, p.num_experts), make_stride(k, _1{}, k * p.n)));
  const auto tma_x = make_tma_copy(SM90_TMA_LOAD{}, x, take<0, 2>(typename Types::XLayout{}));
  const auto tma_w =
      make_tma_copy(SM90_TMA_LOAD_MULTICAST{}, w, take<0, 2>(typename Types::WHalfLayout{}));
  const auto kernel = grouped_gemm_kernel<T, Out, kEpilogue, std::remove_const_t<decltype(tma_x)>,
                                          std::remove_const_t<decltype(tma_w)>>;
  const size_t bytes =
      sizeof(GemmShared<T>) + 2 * sizeof(int) * static_cast<size_t>(p.num_experts + 1);
  allow_shared(reinterpret_cast<const void*>(kernel), bytes);
  launch_clusters_of(kernel, num_blocks / kCluster * kCluster, bytes, stream, p, tma_x, tma_w);
}

// For one type of x and W; in a file each, since they take long to compile.
template <class T>
void launch_grouped_gemm_of(const GroupedGemmParams& p, int num_blocks, cudaStream_t stream) {
  using Epilogue = GroupedGemmEpilogue;
  if (p.epilogue == Epilogue::kSiluMul) {
    launch_clusters<T, T, Epilogue::kSiluMul>(p, num_blocks, stream);
  } else if (p.y_type == ElementType::kF32) {
    launch_clusters<T, float, Epilogue::kStore>(p, num_blocks, stream);
  } else {
    launch_clusters<T, T, Epilogue::kStore>(p, num_blocks, stream);
  }
}

}  // namespace glmoe::cuda
