// AVX-512's bfloat16 dot product, which Highway does not reach yet: intrinsics, and the attribute
// that compiles a function for its instructions. Used only where inputs are rounded to bfloat16
// anyway, and where cpu_target() is kAvx512Bf16.
#pragma once

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own headers' "undefined" vectors for a mistake of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define GLMOE_BF16_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512bf16,avx2,fma,bmi2")))
#define GLMOE_BF16_INLINE GLMOE_BF16_TARGET inline __attribute__((always_inline))

#endif
