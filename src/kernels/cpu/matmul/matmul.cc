#include "kernels/cpu/matmul/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/matmul/tile.h"

namespace glmoe {
namespace {

using matmul::kBlockK;
using matmul::kMaxStreamK;
using matmul::kMaxTileTokens;
using matmul::kMaxTokenBlock;
using matmul::kTileRows;
using matmul::TileArgs;
using matmul::TypeKernels;

constexpr int64_t kPanelRows = 2 * kTileRows;
// Up to this many tokens weights are used where they lie; with more it pays to copy them once
// into a panel in the first-level cache.
constexpr int64_t kDirectTokens = 12;
// Floats from one token's sums to the next; not a power of two, for the cache's sake.
constexpr int64_t kSumsStride = kMaxMatmulRows + 16;
constexpr size_t kCacheLine = 64;

size_t type_bytes(WeightType type) { return type == WeightType::kF32 ? 4 : 2; }

const TypeKernels& kernels_of(const MatmulKernels& kernels, WeightType type) {
  return kernels.types[static_cast<int>(type)];
}

size_t packed_offset(const TypeKernels& type, int64_t k) {
  return static_cast<size_t>(k) * (type.layout == matmul::PackedLayout::kBf16 ? 2 : 4);
}

// Rows [first, last) of the weight times tokens [t_begin, t_end), into sums [t - t_begin][row].
struct Work {
  const MatmulKernels& kernels;
  const MatmulInput& input;
  const TypeKernels& type;
  int64_t t_begin, t_end;
  int64_t then = -1;  // the row that will be wanted after these, -1 where that isn't known

  const std::byte* row(int64_t n, int64_t k) const {
    return static_cast<const std::byte*>(input.weight) +
           static_cast<size_t>(n * input.k + k) * type_bytes(input.type);
  }
  const std::byte* token(int64_t t) const {
    const int64_t r = input.x_rows != nullptr ? input.x_rows[t] : t;
    return input.x.data + static_cast<size_t>(r) * input.x.row_bytes;
  }
  void set_tokens(TileArgs& args, int64_t t, int count, int64_t k) const {
    for (int i = 0; i < count; ++i) args.x[i] = token(t + i) + packed_offset(type, k);
  }
  int64_t num_tiles() const {
    return (t_end - t_begin + kernels.tile_tokens - 1) / kernels.tile_tokens;
  }
  // Of tile i: even shares, since a tile of few tokens loads more than it multiplies.
  int tile_tokens(int64_t i) const {
    const int64_t count = t_end - t_begin, tiles = num_tiles();
    return static_cast<int>(count / tiles + (i < count % tiles ? 1 : 0));
  }
};

void sums_stream(const Work& work, int64_t first, int64_t last, float* sums) {
  const MatmulInput& input = work.input;
  work.type.stream({.x = work.token(0),
                    .weight = work.row(first, 0),
                    .row_bytes = static_cast<size_t>(input.k) * type_bytes(input.type),
                    .num_rows = last - first,
                    .k = input.k,
                    .sums = sums});
}

void sums_direct(const Work& work, int64_t first, int64_t last, float* sums) {
  const int64_t k = work.input.k, block_k = std::min(work.type.block_k, k);
  TileArgs args;
  args.step_bytes = static_cast<size_t>(work.type.step) * type_bytes(work.input.type);
  args.sums_stride = kSumsStride;
  const int64_t tiles = work.num_tiles();
  for (int64_t n = first; n < last; n += kTileRows) {
    const bool more = n + kTileRows < last;
    for (int64_t k0 = 0; k0 < k; k0 += block_k) {
      const int64_t count = std::min(block_k, k - k0);
      args.num_steps = count / work.type.step;
      args.tail = count % work.type.step;
      args.add = k0 > 0;
      for (int r = 0; r < kTileRows; ++r) {
        args.weight[r] = work.row(std::min(n + r, last - 1), k0);
      }
      // The next four rows come in while these are multiplied, with the last tile, which has
      // these in the first-level cache already; into the second-level cache, which takes more of
      // them at a time (docs/kernels).
      args.prefetch = more ? work.row(n + kTileRows, k0) - work.row(n, k0) : 0;
      int64_t t = work.t_begin;
      for (int64_t i = 0; i < tiles; ++i) {
        const int tokens = work.tile_tokens(i);
        work.set_tokens(args, t, tokens, k0);
        args.sums = sums + (t - work.t_begin) * kSumsStride + (n - first);
        const bool fetch = i + 1 == tiles && args.prefetch != 0;
        (fetch ? work.type.fetching : work.type.direct)[tokens - 1](args);
        t += tokens;
      }
    }
  }
}

// Whole rows, where a row is one block: the next four rows come in with the last four tiles, one
// row with each, so that memory is asked for little at a time (docs/kernels/cpu-matmul.md).
void sums_whole(const Work& work, int64_t first, int64_t last, float* sums) {
  const int64_t k = work.input.k, tiles = work.num_tiles();
  const int log_fetch = tiles >= 4 ? 0 : tiles >= 2 ? 1 : 2;
  const int64_t fetch_from = tiles - (kTileRows >> log_fetch);
  TileArgs args;
  args.num_steps = k / work.type.step;
  args.tail = k % work.type.step;
  args.sums_stride = kSumsStride;
  args.fetch_row_bytes = static_cast<size_t>(k) * type_bytes(work.input.type);
  for (int64_t n = first; n < last; n += kTileRows) {
    for (int r = 0; r < kTileRows; ++r) args.weight[r] = work.row(std::min(n + r, last - 1), 0);
    const int64_t next = n + kTileRows < last ? n + kTileRows : work.then;
    int64_t t = work.t_begin;
    for (int64_t i = 0; i < tiles; ++i) {
      const int tokens = work.tile_tokens(i);
      work.set_tokens(args, t, tokens, 0);
      args.sums = sums + (t - work.t_begin) * kSumsStride + (n - first);
      if (i >= fetch_from && next >= 0) {
        args.fetch = work.row(next + ((i - fetch_from) << log_fetch), 0);
        work.type.whole[log_fetch][tokens - 1](args);
      } else {
        work.type.direct[tokens - 1](args);
      }
      t += tokens;
    }
  }
}

// Fetches a part of the panel that comes next into the second-level cache before each tile.
class PanelFetch {
 public:
  PanelFetch(const Work& work, int64_t n, int64_t last, int64_t k0, int64_t num_tiles)
      : work_(work), n_(n), last_(last), k0_(k0) {
    if (n >= last) return;
    const int64_t count = std::min(kBlockK, work.input.k - k0);
    row_lines_ =
        static_cast<int64_t>(static_cast<size_t>(count) * type_bytes(work.input.type) / kCacheLine);
    num_lines_ = row_lines_ * std::min(kPanelRows, last - n);
    per_tile_ = (num_lines_ + num_tiles - 1) / num_tiles;
  }
  void some() {
    for (int64_t i = 0; i < per_tile_ && line_ < num_lines_; ++i, ++line_) {
      __builtin_prefetch(work_.row(n_ + line_ / row_lines_, k0_) +
                             static_cast<size_t>(line_ % row_lines_) * kCacheLine,
                         0, 2);
    }
  }

 private:
  const Work& work_;
  int64_t n_, last_, k0_;
  int64_t row_lines_ = 0, num_lines_ = 0, per_tile_ = 0, line_ = 0;
};

void sums_panel(const Work& work, int64_t first, int64_t last, float* sums) {
  alignas(64) std::byte panel[kPanelRows * kBlockK * sizeof(float)];
  const int64_t k = work.input.k;
  const int64_t tiles = work.num_tiles();
  TileArgs args;
  args.tail = 0;
  args.prefetch = 0;
  args.sums_stride = kSumsStride;
  args.step_bytes = work.type.panel_step_bytes;
  for (int64_t k0 = 0; k0 < k; k0 += kBlockK) {
    const int64_t count = std::min(kBlockK, k - k0);
    args.num_steps = (count + work.type.step - 1) / work.type.step;
    args.add = k0 > 0;
    const size_t half_bytes = static_cast<size_t>(args.num_steps) * args.step_bytes;
    for (int64_t n = first; n < last; n += kPanelRows) {
      const int halves = n + kTileRows < last ? 2 : 1;
      for (int half = 0; half < halves; ++half) {
        const std::byte* rows[kTileRows];
        for (int r = 0; r < kTileRows; ++r) {
          rows[r] = work.row(std::min(n + half * kTileRows + r, last - 1), k0);
        }
        work.type.fill_panel(rows, count, panel + static_cast<size_t>(half) * half_bytes);
      }
      const bool wraps = n + kPanelRows >= last;
      PanelFetch fetch(work, wraps ? (k0 + kBlockK < k ? first : last) : n + kPanelRows, last,
                       wraps ? k0 + kBlockK : k0, tiles);
      int64_t t = work.t_begin;
      for (int64_t i = 0; i < tiles; ++i) {
        const int tokens = work.tile_tokens(i);
        work.set_tokens(args, t, tokens, k0);
        fetch.some();
        for (int half = 0; half < halves; ++half) {
          const std::byte* base = panel + static_cast<size_t>(half) * half_bytes;
          for (size_t r = 0; r < kTileRows; ++r) {
            args.weight[r] = base + r * (args.step_bytes / kTileRows);
          }
          args.sums = sums + (t - work.t_begin) * kSumsStride + (n - first) + half * kTileRows;
          work.type.panel[tokens - 1](args);
        }
        t += tokens;
      }
    }
  }
}

void row_sums(const Work& work, int64_t first, int64_t last, float* sums) {
  if (work.input.num_tokens == 1 && work.input.k <= kMaxStreamK && work.type.stream != nullptr) {
    sums_stream(work, first, last, sums);
  } else if (work.type.block_k == matmul::kWholeK) {
    sums_whole(work, first, last, sums);
  } else if (work.input.num_tokens <= kDirectTokens) {
    sums_direct(work, first, last, sums);
  } else {
    sums_panel(work, first, last, sums);
  }
}

// Passes over the tokens, in even shares.
int64_t num_passes(const TypeKernels& type, const MatmulInput& input) {
  const auto row_bytes = static_cast<int64_t>(packed_offset(type, input.k));
  const int64_t fitting = std::max<int64_t>(type.token_block_bytes / row_bytes, kMaxTileTokens);
  const int64_t tokens = std::min(type.token_block, fitting);
  return (input.num_tokens + tokens - 1) / tokens;
}

void store(const Work& work, const MatmulOutput& output, int64_t n_begin, int64_t n_end,
           const float* sums) {
  for (int64_t t = work.t_begin; t < work.t_end; ++t) {
    const float* row = sums + (t - work.t_begin) * kSumsStride;
    const int64_t r = output.out_rows != nullptr ? output.out_rows[t] : t;
    float* out = output.out + r * output.stride;
    for (int64_t n = n_begin; n < n_end; ++n) {
      float value = row[n - n_begin];
      if (output.bias != nullptr) value += output.bias[n];
      out[n] = output.accumulate ? out[n] + value : value;
    }
  }
}

const MatmulKernels& table_of(CpuTarget target, bool round_to_bf16) {
  if (target == CpuTarget::kAvx512Bf16) {
    const MatmulKernels& base = table_of(CpuTarget::kAvx512, round_to_bf16);
    const MatmulKernels* table = round_to_bf16 ? matmul::avx512_bf16_kernels(base) : nullptr;
    return table != nullptr ? *table : base;
  }
  const MatmulKernels* table = matmul::highway_kernels(target);
  GLMOE_CHECK(table != nullptr, "no kernels for {}", cpu_target_name(target));
  return *table;
}

}  // namespace

const MatmulKernels& matmul_kernels(CpuTarget target, bool round_to_bf16) {
  return table_of(target, round_to_bf16);
}

const MatmulKernels& matmul_kernels(bool round_to_bf16) {
  static const MatmulKernels& exact = table_of(cpu_target(), false);
  static const MatmulKernels& rounded = table_of(cpu_target(), true);
  return round_to_bf16 ? rounded : exact;
}

size_t packed_row_bytes(int64_t k) {
  // Whole steps of any target, and a line more so that rows do not all start in the same set.
  constexpr int64_t kLongestStep = 32;
  const int64_t padded = (k + kLongestStep - 1) / kLongestStep * kLongestStep;
  return static_cast<size_t>(padded) * sizeof(float) + kCacheLine;
}

void pack_tokens(const MatmulKernels& kernels, WeightType type, bool round_to_bf16, const float* x,
                 int64_t x_stride, int64_t num_tokens, int64_t k, const PackedTokens& out) {
  for (int64_t t = 0; t < num_tokens; ++t) {
    kernels.pack(kernels_of(kernels, type).layout, round_to_bf16, x + t * x_stride, k,
                 out.data + static_cast<size_t>(t) * out.row_bytes);
  }
}

void matmul_rows(const MatmulKernels& kernels, const MatmulInput& input, const MatmulOutput& output,
                 int64_t n_begin, int64_t n_end) {
  GLMOE_CHECK_LE(n_end - n_begin, kMaxMatmulRows);
  alignas(64) float sums[kMaxTokenBlock * kSumsStride];
  const TypeKernels& type = kernels_of(kernels, input.type);
  const int64_t passes = num_passes(type, input);
  for (int64_t p = 0; p < passes; ++p) {
    const Work work{.kernels = kernels,
                    .input = input,
                    .type = type,
                    .t_begin = input.num_tokens * p / passes,
                    .t_end = input.num_tokens * (p + 1) / passes,
                    .then = p + 1 < passes ? n_begin : -1};
    row_sums(work, n_begin, n_end, sums);
    store(work, output, n_begin, n_end, sums);
  }
}

void matmul_swiglu(const MatmulKernels& kernels, const MatmulInput& input,
                   const SwigluOutput& output, int64_t f_begin, int64_t f_end) {
  GLMOE_CHECK_LE(f_end - f_begin, kMaxMatmulRows);
  alignas(64) float gate[kMaxTokenBlock * kSumsStride];
  alignas(64) float up[kMaxTokenBlock * kSumsStride];
  const TypeKernels& next = kernels_of(kernels, output.next_type);
  const TypeKernels& type = kernels_of(kernels, input.type);
  const int64_t up_begin = output.num_hidden + f_begin, up_end = output.num_hidden + f_end;
  const int64_t passes = num_passes(type, input);
  for (int64_t p = 0; p < passes; ++p) {
    Work work{.kernels = kernels,
              .input = input,
              .type = type,
              .t_begin = input.num_tokens * p / passes,
              .t_end = input.num_tokens * (p + 1) / passes,
              .then = up_begin};
    row_sums(work, f_begin, f_end, gate);
    work.then = p + 1 < passes ? f_begin : -1;
    row_sums(work, up_begin, up_end, up);
    for (int64_t i = work.t_begin; i < work.t_end; ++i) {
      const int64_t at = (i - work.t_begin) * kSumsStride;
      float* row = gate + at;
      kernels.swiglu(row, up + at, f_end - f_begin, row);
      kernels.pack(next.layout, output.round_to_bf16, row, f_end - f_begin,
                   output.hidden.data + static_cast<size_t>(i) * output.hidden.row_bytes +
                       packed_offset(next, f_begin));
    }
  }
}

}  // namespace glmoe
