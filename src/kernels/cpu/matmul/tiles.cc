// Tiles in Highway: compiled once for each of plain C++, SSE4, AVX2 and AVX-512.
#include "kernels/cpu/matmul/tile.h"

#include <cstring>
#include <limits>
#include <utility>

// SSE4 serves the few machines that SSSE3 would.
#define HWY_DISABLED_TARGETS HWY_SSSE3
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/tiles.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h, as Highway asks.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace glmoe::matmul::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU = hn::ScalableTag<uint32_t>;
using VF = hn::Vec<DF>;
constexpr size_t kLanes = hn::MaxLanes(DF());
// Twelve running sums hide the latency of an addition and, with three tokens and a weight, fill
// sixteen registers; AVX-512 has twice as many.
constexpr int kTileTokens = kLanes >= 16 ? 6 : 3;

// The same number, but the compiler cannot know: it then loads a weight once more for the second
// half of a step (which is free) instead of keeping the first load in a register that it does not
// have.
HWY_INLINE size_t forget(size_t value) {
  asm volatile("" : "+r"(value));
  return value;
}

// Holds a value in a register here, and statements around it in their order. A tile's sums, tokens
// and weight fill the registers exactly; left alone, the compiler moves loads ahead of their use or
// into the multiplications, and then spills sums or waits for its loads.
HWY_INLINE void pin(VF& v) {
#if HWY_TARGET == HWY_AVX3
  asm volatile("" : "+v"(v.raw));
#elif HWY_ARCH_X86
  asm volatile("" : "+x"(v.raw));
#else
  (void)v;
#endif
}

HWY_INLINE VF pinned(VF v) {
  pin(v);
  return v;
}

// Weight readers: step inputs of one row are kHalves vectors, the h-th for the h-th vector of the
// packed token.
struct F32Weights {
  static constexpr size_t kHalves = 1;
  static constexpr size_t kBytes = 4;
  static constexpr PackedLayout kLayout = PackedLayout::kPlain;
  template <size_t kHalf>
  static HWY_INLINE VF load(const std::byte* weight) {
    return hn::LoadU(DF(), reinterpret_cast<const float*>(weight));
  }
};

struct F16Weights {
  static constexpr size_t kHalves = 1;
  static constexpr size_t kBytes = 2;
  static constexpr PackedLayout kLayout = PackedLayout::kPlain;
  template <size_t kHalf>
  static HWY_INLINE VF load(const std::byte* weight) {
    const hn::Rebind<hwy::float16_t, DF> d16;
    return hn::PromoteTo(DF(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(weight)));
  }
};

// A word holds two weights: the even one is its low half moved up, the odd one its high half.
struct BF16Weights {
  static constexpr size_t kHalves = 2;
  static constexpr size_t kBytes = 2;
  static constexpr PackedLayout kLayout = PackedLayout::kEvenOdd;
  template <size_t kHalf>
  static HWY_INLINE VF load(const std::byte* weight) {
    const auto pair = hn::LoadU(DU(), reinterpret_cast<const uint32_t*>(weight));
    if constexpr (kHalf == 0) return hn::BitCast(DF(), hn::ShiftLeft<16>(pair));
    return hn::BitCast(DF(), hn::And(pair, hn::Set(DU(), 0xffff0000u)));
  }
};

template <class W>
constexpr size_t step_inputs() {
  return W::kHalves * kLanes;
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void fold_rows(VF a, VF b, VF c, VF d, float* sums, bool add) {
  const float values[kTileRows] = {hn::GetLane(a), hn::GetLane(b), hn::GetLane(c), hn::GetLane(d)};
  for (int r = 0; r < kTileRows; ++r) sums[r] = add ? sums[r] + values[r] : values[r];
}
#else
using D4 = hn::FixedTag<float, 4>;
template <class D>
HWY_INLINE hn::Vec<D4> fold_blocks(D, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return fold_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
// Sums of the lanes of four vectors, always in the same tree.
HWY_INLINE void fold_rows(VF a, VF b, VF c, VF d, float* sums, bool add) {
  const DF df;
  const hn::Repartition<uint64_t, DF> d64;
  const auto ab = hn::Add(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  const auto cd = hn::Add(hn::InterleaveLower(df, c, d), hn::InterleaveUpper(df, c, d));
  const auto ab64 = hn::BitCast(d64, ab);
  const auto cd64 = hn::BitCast(d64, cd);
  const auto low = hn::BitCast(df, hn::InterleaveLower(d64, ab64, cd64));
  const auto high = hn::BitCast(df, hn::InterleaveUpper(d64, ab64, cd64));
  auto four = fold_blocks(df, hn::Add(low, high));
  if (add) four = hn::Add(hn::LoadU(D4(), sums), four);
  hn::StoreU(four, D4(), sums);
}
#endif

// Four rows of a weight, at the same input.
struct Rows {
  const std::byte* row[kTileRows];
  HWY_INLINE Rows(const std::byte* const* rows) : row{rows[0], rows[1], rows[2], rows[3]} {}
};

// Running sums of a tile: [token * kTileRows + row]. Indexed by constants only, which is what lets
// the compiler keep them in registers.
template <int kTokens>
using Sums = VF[kTokens * kTileRows];

template <int kRow, int kTokens, int... kToken>
HWY_INLINE void add_row(Sums<kTokens>& sums, const VF (&xs)[kTokens], VF weight,
                        std::integer_sequence<int, kToken...>) {
  pin(weight);
  ((sums[kToken * kTileRows + kRow] =
        pinned(hn::MulAdd(xs[kToken], weight, sums[kToken * kTileRows + kRow]))),
   ...);
}

template <class W, size_t kHalf, int kTokens, int... kToken>
HWY_INLINE void half_step(Sums<kTokens>& sums, const float* const (&x)[kTokens], size_t x_offset,
                          const Rows& rows, size_t w_offset,
                          std::integer_sequence<int, kToken...> tokens) {
  const VF xs[kTokens] = {pinned(hn::Load(DF(), x[kToken] + x_offset + kHalf * kLanes))...};
  add_row<0>(sums, xs, W::template load<kHalf>(rows.row[0] + w_offset), tokens);
  add_row<1>(sums, xs, W::template load<kHalf>(rows.row[1] + w_offset), tokens);
  add_row<2>(sums, xs, W::template load<kHalf>(rows.row[2] + w_offset), tokens);
  add_row<3>(sums, xs, W::template load<kHalf>(rows.row[3] + w_offset), tokens);
}

template <class W, int kTokens>
HWY_INLINE void whole_step(Sums<kTokens>& sums, const float* const (&x)[kTokens], size_t x_offset,
                           const Rows& rows, size_t w_offset) {
  constexpr auto tokens = std::make_integer_sequence<int, kTokens>();
  half_step<W, 0>(sums, x, x_offset, rows, w_offset, tokens);
  if constexpr (W::kHalves == 2) {
    half_step<W, 1>(sums, x, x_offset, rows, forget(w_offset), tokens);
  }
}

template <class W>
HWY_INLINE void fetch(const Rows& rows, ptrdiff_t distance) {
  __builtin_prefetch(rows.row[0] + distance, 0, 2);
  __builtin_prefetch(rows.row[1] + distance, 0, 2);
  __builtin_prefetch(rows.row[2] + distance, 0, 2);
  __builtin_prefetch(rows.row[3] + distance, 0, 2);
}

template <class W, bool kPrefetch, int... kToken>
HWY_INLINE void tile_of(const TileArgs& args, std::integer_sequence<int, kToken...>) {
  constexpr int kTokens = sizeof...(kToken);
  const Rows rows(args.weight);
  const float* const x[kTokens] = {reinterpret_cast<const float*>(args.x[kToken])...};
  Sums<kTokens> sums;
  ((sums[kToken * 4] = sums[kToken * 4 + 1] = sums[kToken * 4 + 2] = sums[kToken * 4 + 3] =
        hn::Zero(DF())),
   ...);
  const size_t step_bytes = args.step_bytes;
  const ptrdiff_t prefetch = args.prefetch;
  size_t w_offset = 0, x_offset = 0;
  for (int64_t step = args.num_steps; step > 0; --step) {
    if constexpr (kPrefetch) fetch<W>(rows, static_cast<ptrdiff_t>(w_offset) + prefetch);
    whole_step<W>(sums, x, x_offset, rows, w_offset);
    w_offset += step_bytes;
    x_offset += step_inputs<W>();
  }
  if (args.tail > 0) {
    // A row may end at the last mapped page, so its tail is copied out; zeros fill the step.
    alignas(64) std::byte tail[kTileRows][step_inputs<W>() * W::kBytes] = {};
    for (int r = 0; r < kTileRows; ++r) {
      std::memcpy(tail[r], rows.row[r] + w_offset, static_cast<size_t>(args.tail) * W::kBytes);
    }
    const std::byte* const copies[kTileRows] = {tail[0], tail[1], tail[2], tail[3]};
    whole_step<W>(sums, x, x_offset, Rows(copies), 0);
  }
  (fold_rows(sums[kToken * 4], sums[kToken * 4 + 1], sums[kToken * 4 + 2], sums[kToken * 4 + 3],
             args.sums + kToken * args.sums_stride, args.add),
   ...);
}

template <class W, int kTokens, bool kPrefetch>
HWY_NOINLINE void tile(const TileArgs& args) {
  tile_of<W, kPrefetch>(args, std::make_integer_sequence<int, kTokens>());
}

// Panels hold F16 weights widened, the others as they are.
template <class W>
HWY_NOINLINE void fill_panel(const std::byte* const* rows, int64_t count, std::byte* panel) {
  constexpr size_t kBytes = step_inputs<W>() * W::kBytes;
  const hn::ScalableTag<uint8_t> d8;
  const auto steps = static_cast<size_t>(count) / step_inputs<W>();
  const size_t tail = static_cast<size_t>(count) % step_inputs<W>() * W::kBytes;
  for (size_t r = 0; r < kTileRows; ++r) {
    std::byte* out = panel + r * kBytes;
    for (size_t step = 0; step < steps; ++step, out += kTileRows * kBytes) {
      if constexpr (kBytes % hn::MaxLanes(d8) == 0) {
        for (size_t i = 0; i < kBytes; i += hn::MaxLanes(d8)) {
          hn::StoreU(hn::LoadU(d8, reinterpret_cast<const uint8_t*>(rows[r]) + step * kBytes + i),
                     d8, reinterpret_cast<uint8_t*>(out) + i);
        }
      } else {
        std::memcpy(out, rows[r] + step * kBytes, kBytes);
      }
    }
    if (tail > 0) {
      std::memset(out, 0, kBytes);
      std::memcpy(out, rows[r] + steps * kBytes, tail);
    }
  }
}

template <>
HWY_NOINLINE void fill_panel<F16Weights>(const std::byte* const* rows, int64_t count,
                                         std::byte* panel) {
  const DF d;
  const auto steps = static_cast<size_t>(count) / kLanes;
  const size_t tail = static_cast<size_t>(count) % kLanes * 2;
  for (size_t r = 0; r < kTileRows; ++r) {
    float* out = reinterpret_cast<float*>(panel) + r * kLanes;
    for (size_t step = 0; step < steps; ++step, out += kTileRows * kLanes) {
      hn::StoreU(F16Weights::load<0>(rows[r] + step * kLanes * 2), d, out);
    }
    if (tail > 0) {
      alignas(64) std::byte last[kLanes * 2] = {};
      std::memcpy(last, rows[r] + steps * kLanes * 2, tail);
      hn::StoreU(F16Weights::load<0>(last), d, out);
    }
  }
}

// To bfloat16 and back, nearest even; a NaN keeps its upper half, made quiet.
HWY_INLINE VF round_bf16(VF v) {
  const DF d;
  const DU du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
  const auto chosen = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  return hn::BitCast(d, hn::And(chosen, hn::Set(du, 0xffff0000u)));
}

template <bool kRound>
HWY_INLINE void pack_step(PackedLayout layout, const float* x, float* out) {
  const DF d;
  if (layout == PackedLayout::kPlain) {
    const auto v = hn::LoadU(d, x);
    hn::StoreU(kRound ? round_bf16(v) : v, d, out);
    return;
  }
#if HWY_TARGET == HWY_SCALAR
  const auto even = hn::LoadU(d, x), odd = hn::LoadU(d, x + 1);
#else
  VF even, odd;
  hn::LoadInterleaved2(d, x, even, odd);
#endif
  hn::StoreU(kRound ? round_bf16(even) : even, d, out);
  hn::StoreU(kRound ? round_bf16(odd) : odd, d, out + kLanes);
}

template <bool kRound>
HWY_NOINLINE void pack_row(PackedLayout layout, const float* x, int64_t count, float* out) {
  const size_t step = layout == PackedLayout::kEvenOdd ? 2 * kLanes : kLanes;
  const auto n = static_cast<size_t>(count);
  size_t i = 0;
  for (; i + step <= n; i += step) pack_step<kRound>(layout, x + i, out + i);
  if (i < n) {
    float tail[2 * kLanes] = {};
    std::memcpy(tail, x + i, (n - i) * sizeof(float));
    pack_step<kRound>(layout, tail, out + i);
  }
}

void pack(PackedLayout layout, bool round, const float* x, int64_t count, std::byte* out) {
  (round ? pack_row<true> : pack_row<false>)(layout, x, count, reinterpret_cast<float*>(out));
}

void swiglu(const float* gate, const float* up, int64_t count, float* out) {
  const DF d;
  const auto one = hn::Set(d, 1.0f);
  for (size_t i = 0; i < static_cast<size_t>(count); i += kLanes) {
    const auto g = hn::LoadU(d, gate + i);
    const auto silu = hn::Div(g, hn::Add(one, hn::Exp(d, hn::Neg(g))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
  }
}

template <class W, class Panel, int... kIndex>
constexpr TypeKernels type_kernels(std::integer_sequence<int, kIndex...>) {
  TypeKernels kernels{};
  kernels.layout = W::kLayout;
  kernels.step = static_cast<int64_t>(step_inputs<W>());
  kernels.block_k = kBlockK;
  kernels.token_block = kMaxTokenBlock;
  kernels.token_block_bytes = std::numeric_limits<int64_t>::max();
  ((kernels.fetching[kIndex] = &tile<W, kIndex + 1, true>), ...);
  ((kernels.panel[kIndex] = &tile<Panel, kIndex + 1, false>), ...);
  ((kernels.direct[kIndex] = &tile<W, kIndex + 1, false>), ...);
  kernels.fill_panel = &fill_panel<W>;
  kernels.panel_step_bytes = kTileRows * step_inputs<Panel>() * Panel::kBytes;
  return kernels;
}

const MatmulKernels* kernels() {
  constexpr auto tokens = std::make_integer_sequence<int, kTileTokens>();
  static constexpr MatmulKernels table = {
      .tile_tokens = kTileTokens,
      .types = {type_kernels<F32Weights, F32Weights>(tokens),
                type_kernels<BF16Weights, BF16Weights>(tokens),
                type_kernels<F16Weights, F32Weights>(tokens)},
      .pack = &pack,
      .swiglu = &swiglu,
  };
  return &table;
}

}  // namespace glmoe::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glmoe::matmul {

// Asked by name, not through Highway's dispatch, so that tests can run all that the machine has.
const MatmulKernels* highway_kernels(CpuTarget target) {
#if HWY_TARGETS & HWY_AVX3
  if (target == CpuTarget::kAvx512) return N_AVX3::kernels();
#endif
#if HWY_TARGETS & HWY_AVX2
  if (target == CpuTarget::kAvx2) return N_AVX2::kernels();
#endif
  if (target != CpuTarget::kBaseline) return nullptr;
#if (HWY_TARGETS & HWY_SSE4) && HWY_STATIC_TARGET != HWY_SSE4
  if (__builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("pclmul") &&
      __builtin_cpu_supports("aes")) {
    return N_SSE4::kernels();
  }
#endif
  return HWY_STATIC_DISPATCH(kernels)();
}

}  // namespace glmoe::matmul
#endif  // HWY_ONCE
