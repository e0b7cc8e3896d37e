#include "kernels/cpu/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/cpu/attention/attention_split.h"
#include "kernels/cpu/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention/attention.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h, as Highway wants it:
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glmoe::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::CappedTag<float, 16>;
constexpr F kF;
inline size_t lanes() { return hn::Lanes(kF); }

// Rows of a register tile: two vectors wide, so many that the accumulators fill the registers.
#if HWY_TARGET <= HWY_AVX3
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif

// --- widening loads ------------------------------------------------------------------------------

template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const float* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const hwy::bfloat16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), p));
}
template <class D>
HWY_INLINE hn::Vec<D> load_wide(D d, const hwy::float16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), p));
}
HWY_INLINE float widen(float v) { return v; }
HWY_INLINE float widen(hwy::bfloat16_t v) { return hwy::F32FromBF16(v); }
HWY_INLINE float widen(hwy::float16_t v) {
  return hn::GetLane(load_wide(hn::CappedTag<float, 1>(), &v));
}

// --- a tile's keys and values into scratch memory
// -------------------------------------------------

HWY_INLINE int64_t panel_offset(int64_t key, int64_t dim, int64_t width) {
  return key / width * width * dim + key % width;
}

#if HWY_TARGET != HWY_SCALAR
// Four keys by four values at a time, turned in registers; returns how many values that covered.
template <class T>
HWY_INLINE int64_t transpose_four(const T* const* keys, int64_t dim, int64_t width,
                                  float* HWY_RESTRICT column) {
  const hn::CappedTag<float, 4> f4;
  const hn::CappedTag<double, 2> f64;
  const T *a = keys[0], *b = keys[1], *c = keys[2], *e = keys[3];
  int64_t d = 0;
  for (; d + 4 <= dim; d += 4) {
    const auto r0 = load_wide(f4, a + d), r1 = load_wide(f4, b + d);
    const auto r2 = load_wide(f4, c + d), r3 = load_wide(f4, e + d);
    const auto w0 = hn::BitCast(f64, hn::InterleaveLower(f4, r0, r1));
    const auto w1 = hn::BitCast(f64, hn::InterleaveLower(f4, r2, r3));
    const auto w2 = hn::BitCast(f64, hn::InterleaveUpper(f4, r0, r1));
    const auto w3 = hn::BitCast(f64, hn::InterleaveUpper(f4, r2, r3));
    hn::StoreU(hn::BitCast(f4, hn::InterleaveLower(f64, w0, w1)), f4, column + d * width);
    hn::StoreU(hn::BitCast(f4, hn::InterleaveUpper(f64, w0, w1)), f4, column + (d + 1) * width);
    hn::StoreU(hn::BitCast(f4, hn::InterleaveLower(f64, w2, w3)), f4, column + (d + 2) * width);
    hn::StoreU(hn::BitCast(f4, hn::InterleaveUpper(f64, w2, w3)), f4, column + (d + 3) * width);
  }
  return d;
}
#endif

// keys[i] (D values each, i < count) -> panels of `width` keys: out[(panel * D + d) * width +
// lane]; lanes beyond `count` become 0.
template <class T>
HWY_INLINE void transpose_keys(const T* const* keys, int64_t count, int64_t dim, int64_t width,
                               float* HWY_RESTRICT out) {
  const int64_t padded = (count + width - 1) / width * width;
  for (int64_t k = 0; k < padded; k += 4) {
    int64_t d = 0;
#if HWY_TARGET != HWY_SCALAR
    if (k + 4 <= count) d = transpose_four(keys + k, dim, width, out + panel_offset(k, dim, width));
#endif
    for (int64_t key = k; key < std::min(k + 4, padded); ++key) {
      float* HWY_RESTRICT column = out + panel_offset(key, dim, width);
      for (int64_t i = d; i < dim; ++i)
        column[i * width] = key < count ? widen(keys[key][i]) : 0.0f;
    }
  }
}

template <class T>
HWY_INLINE void widen_values(const T* const* values, int64_t count, int64_t dim, int64_t stride,
                             float* HWY_RESTRICT out) {
  const auto n = static_cast<int64_t>(lanes());
  for (int64_t k = 0; k < count; ++k) {
    const T* row = values[k];
    float* HWY_RESTRICT to = out + k * stride;
    int64_t d = 0;
    for (; d + n <= dim; d += n) hn::Store(load_wide(kF, row + d), kF, to + d);
    for (; d < dim; ++d) to[d] = widen(row[d]);
    for (; d < stride; ++d) to[d] = 0.0f;
  }
}

// --- the two products
// ------------------------------------------------------------------------------

// scores[r][0, 2N) = q[r] . panel, a chain over d in ascending order.
template <int R>
HWY_INLINE void score_rows(const float* const* q, const float* HWY_RESTRICT panel, int64_t dim,
                           float* HWY_RESTRICT scores) {
  const size_t n = lanes();
  hn::Vec<F> acc[R][2];
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = hn::Zero(kF);
  for (int64_t d = 0; d < dim; ++d) {
    const auto k0 = hn::Load(kF, panel), k1 = hn::Load(kF, panel + n);
    panel += 2 * n;
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      const auto value = hn::Set(kF, q[r][d]);
      acc[r][0] = hn::MulAdd(value, k0, acc[r][0]);
      acc[r][1] = hn::MulAdd(value, k1, acc[r][1]);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    hn::Store(acc[r][0], kF, scores + r * kKeyTile);
    hn::Store(acc[r][1], kF, scores + r * kKeyTile + n);
  }
}

// weighted[r] = weighted[r] * decay[r] + probabilities[r] . values, C vectors of columns, a chain
// over the keys in ascending order.
template <int R, int C>
HWY_INLINE void value_rows(const float* HWY_RESTRICT probabilities, const float* HWY_RESTRICT decay,
                           const float* HWY_RESTRICT values, int64_t count, int64_t stride,
                           float* HWY_RESTRICT weighted) {
  const size_t n = lanes();
  hn::Vec<F> acc[R][C];
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    const auto factor = hn::Set(kF, decay[r]);
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      acc[r][c] =
          hn::Mul(hn::Load(kF, weighted + r * stride + c * static_cast<int64_t>(n)), factor);
    }
  }
  for (int64_t k = 0; k < count; ++k) {
    hn::Vec<F> v[C];
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) v[c] = hn::Load(kF, values + static_cast<size_t>(c) * n);
    values += stride;
    HWY_UNROLL(16)
    for (int r = 0; r < R; ++r) {
      const auto p = hn::Set(kF, probabilities[r * kKeyTile + k]);
      HWY_UNROLL(16)
      for (int c = 0; c < C; ++c) acc[r][c] = hn::MulAdd(p, v[c], acc[r][c]);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(16)
    for (int c = 0; c < C; ++c) {
      hn::Store(acc[r][c], kF, weighted + r * stride + c * static_cast<int64_t>(n));
    }
  }
}

// --- softmax
// ---------------------------------------------------------------------------------------

// Turns a row's scores into exp(score * scale - highest), 0 beyond `count`; updates highest and
// total and returns the factor by which what was summed before must shrink. Where every score is
// -infinity the weights are 0 instead of NaN.
HWY_INLINE float softmax_row(float* HWY_RESTRICT scores, int64_t count, float scale,
                             float* HWY_RESTRICT highest, float* HWY_RESTRICT total) {
  const size_t n = lanes();
  const auto lowest = hn::Set(kF, -std::numeric_limits<float>::infinity());
  const auto factor = hn::Set(kF, scale);
  auto top = lowest;
  for (size_t k = 0; k < kKeyTile; k += n) {
    const size_t valid = static_cast<size_t>(
        std::clamp<int64_t>(count - static_cast<int64_t>(k), 0, static_cast<int64_t>(n)));
    const auto score =
        hn::IfThenElse(hn::FirstN(kF, valid), hn::Mul(hn::Load(kF, scores + k), factor), lowest);
    hn::Store(score, kF, scores + k);
    top = hn::Max(top, score);
  }
  const float before = *highest;
  const float now = std::max(before, hn::GetLane(hn::MaxOfLanes(kF, top)));
  const float safe = std::isinf(now) && now < 0.0f ? 0.0f : now;
  const auto shift = hn::Set(kF, safe);
  auto sum = hn::Zero(kF);
  for (size_t k = 0; k < kKeyTile; k += n) {
    const auto p = hn::Exp(kF, hn::Sub(hn::Load(kF, scores + k), shift));
    hn::Store(p, kF, scores + k);
    sum = hn::Add(sum, p);
  }
  const float decay = std::exp(before - safe);
  *highest = now;
  *total = *total * decay + hn::GetLane(hn::SumOfLanes(kF, sum));
  return decay;
}

void SoftmaxRows(float* scores, int64_t num_queries, int64_t count, float scale, float* highest,
                 float* total, float* decay) {
  for (int64_t m = 0; m < num_queries; ++m) {
    decay[m] = softmax_row(scores + m * kKeyTile, count, scale, highest + m, total + m);
  }
}

// --- one split
// -------------------------------------------------------------------------------------

struct Scratch {
  float *panels, *values, *scores, *decay;
  const float** q;
};

Scratch lay_out(float* memory, int64_t num_queries, int64_t dim) {
  Scratch s;
  s.panels = memory;
  s.values = s.panels + kKeyTile * padded_head_dim(dim);
  s.scores = s.values + kKeyTile * padded_head_dim(dim);
  s.decay = s.scores + num_queries * kKeyTile;
  s.q = reinterpret_cast<const float**>(s.decay + (num_queries + 15) / 16 * 16);
  return s;
}

// Queries [begin, end), which all see the first `count` keys of the prepared tile.
void attend_queries(const AttentionTile& tile, const Scratch& s, int64_t begin, int64_t end,
                    int64_t count, const AttentionPartial& out) {
  const auto n = static_cast<int64_t>(lanes());
  const int64_t dim = tile.head_dim, stride = padded_head_dim(dim);
  for (int64_t k = 0; k < count; k += 2 * n) {
    for_row_tiles<kTileRows>(end - begin, [&](auto rows, int64_t at) HWY_ATTR {
      score_rows<decltype(rows)::value>(s.q + begin + at, s.panels + k * dim, dim,
                                        s.scores + (begin + at) * kKeyTile + k);
    });
  }
  SoftmaxRows(s.scores + begin * kKeyTile, end - begin, count, tile.scale, out.highest + begin,
              out.total + begin, s.decay + begin);
  for (int64_t c = 0; c < stride;) {
    const bool pair = c + 2 * n <= stride;
    for_row_tiles<kTileRows>(end - begin, [&](auto rows, int64_t at) HWY_ATTR {
      constexpr int kRows = decltype(rows)::value;
      const int64_t m = begin + at;
      const auto run = pair ? value_rows<kRows, 2> : value_rows<kRows, 1>;
      run(s.scores + m * kKeyTile, s.decay + m, s.values + c, count, stride,
          out.weighted + m * stride + c);
    });
    c += pair ? 2 * n : n;
  }
}

template <class T>
void split_of_type(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                   float* memory) {
  const int64_t dim = tile.head_dim;
  const int64_t num_queries = tile.num_queries();
  const Scratch s = lay_out(memory, num_queries, dim);
  start_partial(num_queries, dim, out);
  for (int64_t m = 0; m < num_queries; ++m) {
    s.q[m] = tile.q + m / tile.group * tile.q_stride + m % tile.group * dim;
  }
  for_key_tiles<T>(
      tile, split,
      [&](const T* const* keys, const T* const* values, int64_t count) HWY_ATTR {
        transpose_keys(keys, count, dim, 2 * static_cast<int64_t>(lanes()), s.panels);
        widen_values(values, count, dim, padded_head_dim(dim), s.values);
      },
      [&](int64_t begin, int64_t end, int64_t count)
          HWY_ATTR { attend_queries(tile, s, begin, end, count, out); });
}

void AttendSplit(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                 float* scratch) {
  switch (tile.kv_type) {
    case KvType::kF32: return split_of_type<float>(tile, split, out, scratch);
    case KvType::kBF16: return split_of_type<hwy::bfloat16_t>(tile, split, out, scratch);
    case KvType::kF16: return split_of_type<hwy::float16_t>(tile, split, out, scratch);
  }
}

}  // namespace
}  // namespace glmoe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glmoe::kernels {

HWY_EXPORT(AttendSplit);
HWY_EXPORT(SoftmaxRows);

int64_t attention_scratch_floats(int64_t num_queries, int64_t head_dim) {
  // Panels and values of a tile; scores, decay, and a pointer or its numbers a query.
  return 2 * kKeyTile * padded_head_dim(head_dim) +
         num_queries * (kKeyTile + 3 + padded_head_dim(head_dim)) + 32;
}

void softmax_rows(float* scores, int64_t num_queries, int64_t count, float scale, float* highest,
                  float* total, float* decay) {
  HWY_DYNAMIC_DISPATCH(SoftmaxRows)(scores, num_queries, count, scale, highest, total, decay);
}

void attend_split(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                  float* scratch) {
  cpu_target();
  if (attends_in_bf16(tile)) return attend_split_bf16(tile, split, out, scratch);
  HWY_DYNAMIC_DISPATCH(AttendSplit)(tile, split, out, scratch);
}

void merge_partial(int64_t num_queries, int64_t head_dim, const AttentionPartial& total,
                   const AttentionPartial& part) {
  const int64_t stride = padded_head_dim(head_dim);
  for (int64_t m = 0; m < num_queries; ++m) {
    const float now = std::max(total.highest[m], part.highest[m]);
    const float safe = std::isinf(now) && now < 0.0f ? 0.0f : now;
    const float a = std::exp(total.highest[m] - safe), b = std::exp(part.highest[m] - safe);
    total.highest[m] = now;
    total.total[m] = total.total[m] * a + part.total[m] * b;
    float* to = total.weighted + m * stride;
    const float* from = part.weighted + m * stride;
    for (int64_t d = 0; d < stride; ++d) to[d] = to[d] * a + from[d] * b;
  }
}

void finish_attention(const AttentionTile& tile, const AttentionPartial& total, float* out,
                      int64_t out_stride) {
  const int64_t dim = tile.head_dim, stride = padded_head_dim(dim);
  for (int64_t m = 0; m < tile.num_queries(); ++m) {
    float* to = out + m / tile.group * out_stride + m % tile.group * dim;
    for (int64_t d = 0; d < dim; ++d) to[d] = total.weighted[m * stride + d] / total.total[m];
  }
}

}  // namespace glmoe::kernels
#endif  // HWY_ONCE
