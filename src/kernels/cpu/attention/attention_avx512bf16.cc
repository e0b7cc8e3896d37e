// Attention with AVX-512's bfloat16 dot product: two dimensions, or two keys, in one step of a
// chain. A row's bits depend on that row alone here too: chains ascend over pairs that begin at
// even positions, and where a row sees an odd number of keys its last pair has one.
#include <cstring>

#include "kernels/cpu/attention/attention_split.h"
#include "kernels/cpu/avx512bf16.h"
#include "kernels/cpu/target.h"

namespace glmoe::kernels {

#if defined(__x86_64__)
namespace {

constexpr int kTileRows = 12;   // of a register tile, two vectors wide
constexpr int64_t kLanes = 16;  // pairs, or F32 sums, of a vector
constexpr int64_t kPanelKeys = 32;

struct Scratch {
  uint32_t* panels;  // [panel of 32 keys][D / 2 pairs of dimensions][32]
  uint32_t* values;  // [pair of keys][D]
  float* scores;     // [query][64]; then the weights, [32 pairs of keys] at the row's beginning
  float* decay;
  uint32_t* q;  // [query][rounded, the rest rounded][D / 2 pairs of dimensions]
};

Scratch lay_out(float* memory, int64_t num_queries, int64_t dim) {
  Scratch s;
  s.panels = reinterpret_cast<uint32_t*>(memory);
  s.values = s.panels + kKeyTile * dim / 2;
  s.scores = memory + kKeyTile * dim;
  s.decay = s.scores + num_queries * kKeyTile;
  s.q = reinterpret_cast<uint32_t*>(s.decay + (num_queries + 15) / 16 * 16);
  return s;
}

// 16 rows of 16 pairs become 16 columns, `stride` pairs apart.
GLMOE_BF16_INLINE void transpose(const __m512i (&rows)[16], int64_t stride, uint32_t* out) {
  __m512i a[16], b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  // b[4 i + c]: rows 4 i to 4 i + 3 of column 4 l + c in its l-th quarter.
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i even = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88);
    const __m512i odd = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xdd);
    const __m512i even2 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88);
    const __m512i odd2 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xdd);
    _mm512_store_si512(out + c * stride, _mm512_shuffle_i32x4(even, even2, 0x88));
    _mm512_store_si512(out + (4 + c) * stride, _mm512_shuffle_i32x4(odd, odd2, 0x88));
    _mm512_store_si512(out + (8 + c) * stride, _mm512_shuffle_i32x4(even, even2, 0xdd));
    _mm512_store_si512(out + (12 + c) * stride, _mm512_shuffle_i32x4(odd, odd2, 0xdd));
  }
}

// Keys into panels; lanes beyond `count` become 0.
GLMOE_BF16_TARGET void turn_keys(const uint16_t* const* keys, int64_t count, int64_t dim,
                                 uint32_t* panels) {
  for (int64_t first = 0; first < count; first += kLanes) {
    uint32_t* panel = panels + first / kPanelKeys * (dim / 2) * kPanelKeys + first % kPanelKeys;
    for (int64_t d = 0; d < dim; d += 2 * kLanes) {
      __m512i rows[16];
#pragma GCC unroll 16
      for (int64_t k = 0; k < kLanes; ++k) {
        rows[k] =
            first + k < count ? _mm512_loadu_si512(keys[first + k] + d) : _mm512_setzero_si512();
      }
      transpose(rows, kPanelKeys, panel + d / 2 * kPanelKeys);
    }
  }
  if (count % kPanelKeys > 0 && count % kPanelKeys <= kLanes) {  // the panel's upper half
    uint32_t* half = panels + count / kPanelKeys * (dim / 2) * kPanelKeys + kLanes;
    for (int64_t d = 0; d < dim / 2; ++d) {
      _mm512_store_si512(half + d * kPanelKeys, _mm512_setzero_si512());
    }
  }
}

GLMOE_BF16_INLINE __m512i load_apart(const uint16_t* numbers) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers)));
}

GLMOE_BF16_INLINE __m512 widen(const uint16_t* numbers) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(load_apart(numbers), 16));
}

// Values of two keys beside each other; where `count` is odd the last has 0 beside it.
GLMOE_BF16_TARGET void pair_values(const uint16_t* const* values, int64_t count, int64_t dim,
                                   uint32_t* pairs) {
  for (int64_t k = 0; k < count; k += 2) {
    for (int64_t d = 0; d < dim; d += kLanes) {
      __m512i pair = load_apart(values[k] + d);
      if (k + 1 < count) {
        pair = _mm512_or_si512(pair, _mm512_slli_epi32(load_apart(values[k + 1] + d), 16));
      }
      _mm512_store_si512(pairs + k / 2 * dim + d, pair);
    }
  }
}

GLMOE_BF16_INLINE __m512bh pair_of(const uint32_t* pair) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*pair)));
}

// One step of the chains of R rows in two vectors: row r's pair is at pairs + r * stride.
template <int R>
GLMOE_BF16_INLINE void step(__m512 (&acc)[R][2], const uint32_t* pairs, int64_t stride, __m512i v0,
                            __m512i v1) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const __m512bh pair = pair_of(pairs + r * stride);
    acc[r][0] = _mm512_dpbf16_ps(acc[r][0], pair, reinterpret_cast<__m512bh>(v0));
    acc[r][1] = _mm512_dpbf16_ps(acc[r][1], pair, reinterpret_cast<__m512bh>(v1));
  }
}

// scores[r][0, 32) = q[r] . panel, a chain over pairs of dimensions in ascending order; of each the
// rounded query and then what it lost.
template <int R>
GLMOE_BF16_TARGET void score_rows(const uint32_t* q, const uint32_t* panel, int64_t num_pairs,
                                  float* scores) {
  __m512 acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm512_setzero_ps();
  for (int64_t d = 0; d < num_pairs; ++d, panel += kPanelKeys) {
    const __m512i k0 = _mm512_load_si512(panel), k1 = _mm512_load_si512(panel + kLanes);
    step<R>(acc, q + d, 2 * num_pairs, k0, k1);
    step<R>(acc, q + num_pairs + d, 2 * num_pairs, k0, k1);
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    _mm512_store_ps(scores + r * kKeyTile, acc[r][0]);
    _mm512_store_ps(scores + r * kKeyTile + kLanes, acc[r][1]);
  }
}

// weighted[r] = weighted[r] * decay[r] + weights[r] . values in two vectors of columns, a chain
// over pairs of keys in ascending order.
template <int R>
GLMOE_BF16_TARGET void value_rows(const uint32_t* weights, const float* decay,
                                  const uint32_t* values, int64_t count, int64_t dim,
                                  float* weighted) {
  __m512 acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const __m512 factor = _mm512_set1_ps(decay[r]);
    acc[r][0] = _mm512_mul_ps(_mm512_load_ps(weighted + r * dim), factor);
    acc[r][1] = _mm512_mul_ps(_mm512_load_ps(weighted + r * dim + kLanes), factor);
  }
  for (int64_t k = 0; k + 2 <= count; k += 2, ++weights, values += dim) {
    step<R>(acc, weights, kKeyTile, _mm512_load_si512(values), _mm512_load_si512(values + kLanes));
  }
  if (count % 2 == 1) {  // without the other key, which may hold anything: 0 * NaN is NaN
    const __m512i first = _mm512_set1_epi32(0xffff);
    step<R>(acc, weights, kKeyTile, _mm512_and_si512(_mm512_load_si512(values), first),
            _mm512_and_si512(_mm512_load_si512(values + kLanes), first));
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    _mm512_store_ps(weighted + r * dim, acc[r][0]);
    _mm512_store_ps(weighted + r * dim + kLanes, acc[r][1]);
  }
}

// In place: a row's weights become pairs at its beginning.
GLMOE_BF16_TARGET void narrow_weights(float* scores, int64_t num_queries) {
  for (float* row = scores; row < scores + num_queries * kKeyTile; row += kKeyTile) {
    const __m512 a = _mm512_load_ps(row), b = _mm512_load_ps(row + kLanes);
    const __m512 c = _mm512_load_ps(row + 2 * kLanes), d = _mm512_load_ps(row + 3 * kLanes);
    _mm512_store_si512(row, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
    _mm512_store_si512(row + kLanes, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(d, c)));
  }
}

// The rounded number, and what it lost, rounded: 16 bits of the 24 together.
GLMOE_BF16_TARGET void narrow_queries(const AttentionTile& tile, uint32_t* q) {
  const int64_t dim = tile.head_dim;
  for (int64_t m = 0; m < tile.num_queries(); ++m, q += dim) {
    const float* from = tile.q + m / tile.group * tile.q_stride + m % tile.group * dim;
    for (int64_t d = 0; d < dim; d += 2 * kLanes) {
      const __m512 low = _mm512_loadu_ps(from + d), high = _mm512_loadu_ps(from + d + kLanes);
      const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
      alignas(64) uint16_t halves[2 * kLanes];
      _mm512_store_si512(halves, reinterpret_cast<__m512i>(rounded));
      const __m512bh rest = _mm512_cvtne2ps_pbh(_mm512_sub_ps(high, widen(halves + kLanes)),
                                                _mm512_sub_ps(low, widen(halves)));
      _mm512_storeu_si512(q + d / 2, reinterpret_cast<__m512i>(rounded));
      _mm512_storeu_si512(q + (dim + d) / 2, reinterpret_cast<__m512i>(rest));
    }
  }
}

// Queries [begin, end), which all see the first `count` keys of the prepared tile.
void attend_queries(const AttentionTile& tile, const Scratch& s, int64_t begin, int64_t end,
                    int64_t count, const AttentionPartial& out) {
  const int64_t dim = tile.head_dim, num_pairs = dim / 2;
  float* scores = s.scores + begin * kKeyTile;
  for (int64_t k = 0; k < count; k += kPanelKeys) {
    for_row_tiles<kTileRows>(end - begin, [&](auto rows, int64_t at) {
      score_rows<decltype(rows)::value>(s.q + (begin + at) * dim, s.panels + k * num_pairs,
                                        num_pairs, scores + at * kKeyTile + k);
    });
  }
  softmax_rows(scores, end - begin, count, tile.scale, out.highest + begin, out.total + begin,
               s.decay + begin);
  narrow_weights(scores, end - begin);
  for (int64_t c = 0; c < dim; c += 2 * kLanes) {
    for_row_tiles<kTileRows>(end - begin, [&](auto rows, int64_t at) {
      const int64_t m = begin + at;
      value_rows<decltype(rows)::value>(reinterpret_cast<const uint32_t*>(s.scores + m * kKeyTile),
                                        s.decay + m, s.values + c, count, dim,
                                        out.weighted + m * dim + c);
    });
  }
}

}  // namespace

bool attends_in_bf16(const AttentionTile& tile) {
  return tile.kv_type == KvType::kBF16 && tile.head_dim % 32 == 0 &&
         cpu_target() == CpuTarget::kAvx512Bf16;
}

void attend_split_bf16(const AttentionTile& tile, int64_t split, const AttentionPartial& out,
                       float* scratch) {
  const int64_t num_queries = tile.num_queries(), dim = tile.head_dim;
  const Scratch s = lay_out(scratch, num_queries, dim);
  start_partial(num_queries, dim, out);
  narrow_queries(tile, s.q);
  for_key_tiles<uint16_t>(
      tile, split,
      [&](const uint16_t* const* keys, const uint16_t* const* values, int64_t count) {
        turn_keys(keys, count, dim, s.panels);
        pair_values(values, count, dim, s.values);
      },
      [&](int64_t begin, int64_t end, int64_t count) {
        attend_queries(tile, s, begin, end, count, out);
      });
}

#else

bool attends_in_bf16(const AttentionTile& /*tile*/) { return false; }
void attend_split_bf16(const AttentionTile& /*tile*/, int64_t /*split*/,
                       const AttentionPartial& /*out*/, float* /*scratch*/) {}

#endif

}  // namespace glmoe::kernels
