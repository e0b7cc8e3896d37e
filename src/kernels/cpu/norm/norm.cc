#include "kernels/cpu/norm/norm.h"

#include <bit>
#include <cmath>

#include "kernels/cpu/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm/norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h, as Highway wants it:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace glmoe::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::CappedTag<float, 16>;
constexpr F kF;

// Adds delta to x in passing where kAdd. Four chains hide the latency of the sums.
template <bool kAdd>
HWY_INLINE float sum_of_squares(float* x, const float* delta, int64_t count) {
  const auto n = static_cast<int64_t>(hn::Lanes(kF));
  const auto load = [&](int64_t i) HWY_ATTR {
    if constexpr (!kAdd) return hn::LoadU(kF, x + i);
    const auto sum = hn::Add(hn::LoadU(kF, x + i), hn::LoadU(kF, delta + i));
    hn::StoreU(sum, kF, x + i);
    return sum;
  };
  auto s0 = hn::Zero(kF), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n) {
    const auto v0 = load(i), v1 = load(i + n), v2 = load(i + 2 * n), v3 = load(i + 3 * n);
    s0 = hn::MulAdd(v0, v0, s0);
    s1 = hn::MulAdd(v1, v1, s1);
    s2 = hn::MulAdd(v2, v2, s2);
    s3 = hn::MulAdd(v3, v3, s3);
  }
  for (; i + n <= count; i += n) {
    const auto v = load(i);
    s0 = hn::MulAdd(v, v, s0);
  }
  float sum = hn::GetLane(hn::SumOfLanes(kF, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < count; ++i) {
    if constexpr (kAdd) x[i] += delta[i];
    sum += x[i] * x[i];
  }
  return sum;
}

HWY_INLINE void scale_row(const float* x, const float* gamma, int64_t count, float scale,
                          float* out) {
  const auto n = static_cast<int64_t>(hn::Lanes(kF));
  const auto factor = hn::Set(kF, scale);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(kF, x + i), factor), hn::LoadU(kF, gamma + i)), kF,
               out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * scale * gamma[i];
}

HWY_INLINE float norm_scale(float sum, int64_t count, float eps) {
  return 1.0f / std::sqrt(sum / static_cast<float>(count) + eps);
}

void RmsNormRow(const float* x, const float* gamma, int64_t n, float eps, float* out) {
  const float sum = sum_of_squares<false>(const_cast<float*>(x), nullptr, n);
  scale_row(x, gamma, n, norm_scale(sum, n, eps), out);
}

void AddRmsNormRow(float* residual, const float* delta, const float* gamma, int64_t n, float eps,
                   float* out) {
  const float sum = sum_of_squares<true>(residual, delta, n);
  scale_row(residual, gamma, n, norm_scale(sum, n, eps), out);
}

HWY_INLINE void rotate(float* head, const float* table, int64_t half) {
  const auto n = static_cast<int64_t>(hn::Lanes(kF));
  int64_t i = 0;
  for (; i + n <= half; i += n) {
    const auto a = hn::LoadU(kF, head + i), b = hn::LoadU(kF, head + half + i);
    const auto c = hn::LoadU(kF, table + i), s = hn::LoadU(kF, table + half + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), kF, head + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), kF, head + half + i);
  }
  for (; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = a * table[i] - b * table[half + i];
    head[half + i] = b * table[i] + a * table[half + i];
  }
}

void TransformHeads(const HeadTransform& transform, int64_t count, float* heads) {
  const int64_t dim = transform.head_dim;
  for (int64_t h = 0; h < count; ++h) {
    float* head = heads + h * dim;
    if (transform.gamma != nullptr) RmsNormRow(head, transform.gamma, dim, transform.eps, head);
    rotate(head, transform.table, transform.rotary_dim / 2);
  }
}

HWY_INLINE uint16_t round_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void NarrowToBf16(const float* x, int64_t count, uint16_t* out) {
  const hn::RebindToUnsigned<F> u32;
  const hn::RebindToSigned<F> i32;
  const hn::Rebind<uint16_t, F> u16;
  const auto n = static_cast<int64_t>(hn::Lanes(kF));
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const auto value = hn::LoadU(kF, x + i);
    const auto bits = hn::BitCast(u32, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1u));
    const auto rounded = hn::Add(hn::Add(bits, hn::Set(u32, 0x7fffu)), odd);
    const auto quiet = hn::Or(bits, hn::Set(u32, 0x400000u));
    const auto is_nan = hn::RebindMask(u32, hn::IsNaN(value));
    const auto high = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded));
    hn::StoreU(hn::DemoteTo(u16, hn::BitCast(i32, high)), u16, out + i);
  }
  for (; i < count; ++i) out[i] = round_to_bf16(x[i]);
}

}  // namespace
}  // namespace glmoe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glmoe::kernels {

HWY_EXPORT(RmsNormRow);
HWY_EXPORT(AddRmsNormRow);
HWY_EXPORT(TransformHeads);
HWY_EXPORT(NarrowToBf16);

void rms_norm_row(const float* x, const float* gamma, int64_t n, float eps, float* out) {
  cpu_target();
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(x, gamma, n, eps, out);
}
void add_rms_norm_row(float* residual, const float* delta, const float* gamma, int64_t n, float eps,
                      float* out) {
  cpu_target();
  HWY_DYNAMIC_DISPATCH(AddRmsNormRow)(residual, delta, gamma, n, eps, out);
}
void transform_heads(const HeadTransform& transform, int64_t count, float* heads) {
  cpu_target();
  HWY_DYNAMIC_DISPATCH(TransformHeads)(transform, count, heads);
}
void narrow_to_bf16(const float* x, int64_t n, uint16_t* out) {
  cpu_target();
  HWY_DYNAMIC_DISPATCH(NarrowToBf16)(x, n, out);
}

}  // namespace glmoe::kernels
#endif  // HWY_ONCE
