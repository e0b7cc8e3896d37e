// Sums of doubles with the bits that adding one by one, in order, gives; by a warp, and sooner.
//
// While a sum s stays between 2^e and 2^(e+1), all its values are multiples of u = 2^(e-52), so
// that adding v to it and rounding is adding v rounded to a multiple of u (but for ties, which hang
// on s). Such additions are exact and may be taken in any order. So every lane takes a segment of
// the values and finds out, from sums that are only nearly right, whether the sum stays between two
// powers of two there. Where it does, the lane finds the segment's change alone; the others, which
// are few, are walked value by value.
#pragma once

#include <cstdint>

namespace glmoe::cuda {

__device__ inline double warp_sum_before(double own) {
  double sum = own;
  for (int distance = 1; distance < 32; distance *= 2) {
    const double other = __shfl_up_sync(0xffffffffu, sum, distance);
    if (threadIdx.x % 32 >= distance) sum += other;
  }
  const double before = __shfl_up_sync(0xffffffffu, sum, 1);
  return threadIdx.x % 32 == 0 ? 0.0 : before;
}

// From `start`, which is not negative, plus (or with kSubtract minus) the values [size], none
// negative. walk(s, begin, end) is called for the segments that must be walked: it changes s by
// these values in order and may return true to end it all. Returns the last s; `here` is the s at
// the begin of this lane's segment, which is `per_lane` values long. All lanes of a warp call it,
// and walk is called by all of them alike.
template <bool kSubtract, class Walk>
__device__ inline double change_in_order(const double* values, int size, double start, double& here,
                                         Walk&& walk) {
  constexpr int kAhead = 4;  // changes that are fetched before they are used
  const int lane = threadIdx.x % 32;
  const int per_lane = (size + 31) / 32;
  const int begin = min(lane * per_lane, size);
  const int end = min(begin + per_lane, size);
  double own = 0.0;
#pragma unroll 4
  for (int i = begin; i < end; ++i) own += values[i];
  const double before = warp_sum_before(own);
  const double all = __shfl_sync(0xffffffffu, before + own, 31);
  // Far above the errors of these sums and of the ones wanted.
  const double margin = (start + all) * 1e-12;
  const double least = (kSubtract ? start - before - own : start + before) - margin;
  const double most = (kSubtract ? start - before : start + before + own) + margin;
  const int exponent = __double2hiint(least) >> 20;
  bool alone = least > 0.0 && exponent == __double2hiint(most) >> 20;
  double change = 0.0;
  if (alone) {
    const double power = __hiloint2double(exponent << 20, 0);
    const double half_unit = power * 0x1.0p-53;
#pragma unroll 4
    for (int i = begin; i < end; ++i) {
      const double rounded = __dsub_rn(__dadd_rn(values[i], power), power);
      change += rounded;
      if (fabs(values[i] - rounded) == half_unit) alone = false;
    }
  }
  const uint32_t mask = __ballot_sync(0xffffffffu, alone || own == 0.0);
  double s = start;
  for (int group = 0; group < 32; group += kAhead) {
    double changes[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) changes[i] = __shfl_sync(0xffffffffu, change, group + i);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (lane == group + i) here = s;
      if ((mask >> (group + i) & 1) != 0) {
        s = kSubtract ? __dsub_rn(s, changes[i]) : __dadd_rn(s, changes[i]);
      } else {
        const int first = (group + i) * per_lane;
        if (walk(s, first, min(first + per_lane, size))) return s;
      }
    }
  }
  return s;
}

// The sum of the values [size], none negative. For one warp; all lanes get it. Where `running` is
// not null, it becomes the sums up to and with each value.
__device__ inline double sum_in_order(const double* values, int size, double* running = nullptr) {
  double here = 0.0;
  const double sum =
      change_in_order<false>(values, size, 0.0, here, [&](double& s, int begin, int end) {
#pragma unroll 4
        for (int i = begin; i < end; ++i) s = __dadd_rn(s, values[i]);
        return false;
      });
  if (running == nullptr) return sum;
  const int per_lane = (size + 31) / 32;
  const int begin = threadIdx.x % 32 * per_lane;
#pragma unroll 4
  for (int i = begin; i < min(begin + per_lane, size); ++i) {
    here = __dadd_rn(here, values[i]);
    running[i] = here;
  }
  __syncwarp();
  return sum;
}

// The place of the value in which `rest`, less the values before, falls; the last one above 0,
// should rounding carry it past the end. `rest`, which is not negative, becomes what is left of it
// there. For one warp; all lanes get the same.
__device__ inline int place_in_order(const double* values, int size, double& rest) {
  int place = -1;
  double here = 0.0;
  rest = change_in_order<true>(values, size, rest, here, [&](double& s, int begin, int end) {
    for (int i = begin; i < end; ++i) {
      if (s < values[i]) {
        place = i;
        return true;
      }
      s = __dsub_rn(s, values[i]);
    }
    return false;
  });
  if (place >= 0) return place;
  for (place = size - 1; place > 0 && values[place] <= 0.0;) --place;
  return place;
}

}  // namespace glmoe::cuda
