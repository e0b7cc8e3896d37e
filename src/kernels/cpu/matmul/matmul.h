// Matrix products with weights stored [N, K], row-major, used where they lie (mapped files
// included): never read past a row's end, never repacked as a whole. Every y[t][n] is computed by
// the same operations in the same order whatever the number of tokens, the split over threads or
// the blocking. Method and measurements: docs/kernels/cpu-matmul.md.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/target.h"

namespace glmoe {

enum class WeightType : uint8_t { kF32, kBF16, kF16 };

struct MatmulKernels;

// Kernels of the target in use, and of a given one (for tests; it must be supported). Inputs that
// are rounded to bfloat16 may be multiplied by bfloat16 instructions.
const MatmulKernels& matmul_kernels(bool round_to_bf16);
const MatmulKernels& matmul_kernels(CpuTarget target, bool round_to_bf16);

// The largest range of rows that one call below takes, and the multiple at which ranges of
// matmul_swiglu begin.
inline constexpr int64_t kMaxMatmulRows = 64;
inline constexpr int64_t kSwigluAlign = 32;

// Tokens as the kernels read them: rounded, permuted and zero-padded for weights of one type.
struct PackedTokens {
  std::byte* data = nullptr;  // 64-byte aligned
  size_t row_bytes = 0;
};

size_t packed_row_bytes(int64_t k);
// Packs x[0, num_tokens) of K floats each, rows x_stride floats apart.
void pack_tokens(const MatmulKernels& kernels, WeightType type, bool round_to_bf16, const float* x,
                 int64_t x_stride, int64_t num_tokens, int64_t k, const PackedTokens& out);

struct MatmulInput {
  PackedTokens x;
  const int32_t* x_rows = nullptr;  // packed row of token t; null: t itself
  int64_t num_tokens = 0;
  const void* weight = nullptr;  // [N, K]
  WeightType type = WeightType::kF32;
  int64_t k = 0;
};

struct MatmulOutput {
  float* out = nullptr;
  int64_t stride = 0;                 // floats from one row to the next
  const int32_t* out_rows = nullptr;  // row of token t; null: t itself
  const float* bias = nullptr;        // [N] or null
  bool accumulate = false;            // adds to out
};

// out[t][n] = sum_k x[t][k] w[n][k] + bias[n] for n in [n_begin, n_end), at most kMaxMatmulRows.
void matmul_rows(const MatmulKernels& kernels, const MatmulInput& input, const MatmulOutput& output,
                 int64_t n_begin, int64_t n_end);

// h[t][f] = silu(x[t] . w[f]) * (x[t] . w[F + f]) for f in [f_begin, f_end), at most
// kMaxMatmulRows, f_begin a multiple of kSwigluAlign. h is packed for weights of `next_type`.
struct SwigluOutput {
  PackedTokens hidden;
  int64_t num_hidden = 0;  // F
  WeightType next_type = WeightType::kF32;
  bool round_to_bf16 = false;
};
void matmul_swiglu(const MatmulKernels& kernels, const MatmulInput& input,
                   const SwigluOutput& output, int64_t f_begin, int64_t f_end);

}  // namespace glmoe
