// The token with which the first tokens of a row (in the order of sampling) reach a number or a
// share of the probability: top_k and top_p without sorting.
//
// Two steps. The row's tokens are summed into buckets by their distance from the best, as on the
// host, whose sums' bits are kept: inside a bucket other than the tail all weights are multiples of
// one power of two and their sum has fewer than 53 bits, so that the host's additions of doubles
// are exact and integers in any order give the same. Then, in the bucket that reaches the target,
// exact integers throughout: a few tokens are compared each with each, many are searched from the
// highest bits of the logit to the lowest.
#pragma once

#include "kernels/cuda/sample/ordered_sum.cuh"
#include "kernels/cuda/sample/row_slice.cuh"

namespace glmoe::cuda {

using Cluster = cooperative_groups::cluster_group;

enum class Measure { kCount, kWeight };

inline constexpr int kDigits = 256;  // a step's, of a logit's bits

// The host's bucket, monotonous in the logit. The best token's is 0, also where it is infinite.
__device__ inline int bucket_of(float logit, float best, float inverse_temperature) {
  const float scale = __fmul_rn(inverse_temperature, kBucketsPerUnit);
  const float depth = logit == best ? 0.0f : __fmul_rn(__fsub_rn(best, logit), scale);
  // Rounded down to a whole number, which is in the low bits then.
  const float whole = __fadd_rd(fminf(depth, static_cast<float>(kTail)), 0x1.0p23f);
  return __float_as_int(whole) & 0x3ff;
}

// The weights of bucket b < kTail are multiples of 2^(bucket_exponent(b) - 23), below four times
// 2^24 such: the logarithm of the least weight, rounded down, after a margin that is many times the
// rounding of depths and weights.
__device__ inline int bucket_exponent(int bucket) {
  constexpr double kOne = 0x1.0p22;
  constexpr int kPerBucket = static_cast<int>(1.4426950408889634 / kBucketsPerUnit * kOne + 0.5);
  constexpr int kMargin = static_cast<int>(1e-3 * kOne);
  return -1 - (((bucket + 1) * kPerBucket + kMargin) >> 22);
}

__device__ inline uint32_t weight_units(float weight, int bucket) {
  const uint32_t bits = __float_as_uint(weight);
  const int exponent = static_cast<int>(bits >> 23) - 127;
  return ((bits & 0x7fffffu) | 0x800000u) << (exponent - bucket_exponent(bucket));
}

// 2^exponent, a normal number.
__device__ inline double power_of_two(int exponent) {
  return __longlong_as_double(static_cast<long long>(exponent + 1023) << 52);
}

class Selector {
 public:
  __device__ Selector(const Cluster& cluster, Slice& slice, float inverse_temperature,
                      const Candidate& last)
      : cluster_(cluster), s_(slice), inverse_temperature_(inverse_temperature), last_(last) {}

  // The token with which the run of first tokens, up to `last` at most, reaches `count` tokens or
  // `share` of the weight; the last one with a logit above -infinity at the latest. All threads of
  // the cluster call it and get the same.
  __device__ Candidate reach_count(int count) { return reach<Measure::kCount>(count, 0.0f); }
  __device__ Candidate reach_share(float share) { return reach<Measure::kWeight>(0, share); }

 private:
  struct Counter {
    SplitSum* sums;
    __device__ void add(int at, uint32_t units) const {
      atomicAdd(&sums[at].low, units & 0xffffu);
      atomicAdd(&sums[at].high, units >> 16);
    }
    __device__ void count(int at) const { atomicAdd(&sums[at].low, 1u); }
  };

  template <Measure kMeasure>
  __device__ Candidate reach(int count, float share);
  template <Measure kMeasure>
  __device__ void fill_buckets();
  template <Measure kMeasure>
  __device__ void share_buckets();
  template <Measure kMeasure>
  __device__ void sum_buckets();
  __device__ double exact_tail();
  template <Measure kMeasure>
  __device__ bool reach_among_few(int bucket, unsigned long long target, Candidate& reached);
  template <Measure kMeasure>
  __device__ Candidate reach_among_many(int bucket, unsigned long long target);
  template <Measure kMeasure>
  __device__ void fill_digits(int bucket, int shift, uint32_t prefix);
  __device__ void choose_digit(unsigned long long target);
  __device__ int32_t nth_equal(float logit, int nth);

  __device__ float weight(float logit) const {
    return token_weight(logit, s_.best, inverse_temperature_);
  }
  __device__ int bucket(float logit) const {
    return bucket_of(logit, s_.best, inverse_temperature_);
  }
  __device__ bool takes_part(float logit, int32_t id) const {
    return !last_.before({logit, id}) && logit > minus_infinity();
  }
  // Of a block's maximum: whether none of its tokens is in this bucket or one before.
  __device__ auto skip_beyond(int bucket) const {
    return [this, bucket](float maximum) {
      return maximum < last_.logit || this->bucket(maximum) > bucket;
    };
  }
  template <Measure kMeasure>
  __device__ uint32_t units(float logit, int bucket) const {
    if constexpr (kMeasure == Measure::kCount) return 1;
    return weight_units(weight(logit), bucket);
  }
  // Clears the next counters; all threads of the block may use them after.
  __device__ Counter fresh_counter(int size) {
    s_.buffer ^= 1;
    const Counter counter{s_.space->counters[s_.buffer]};
    for (int i = threadIdx.x; i < size; i += kSampleThreads) counter.sums[i] = {0, 0};
    __syncthreads();
    return counter;
  }
  __device__ static unsigned long long split_sum(const SplitSum& sum) {
    const uint2 parts = *reinterpret_cast<const uint2*>(&sum);
    return parts.x + (static_cast<unsigned long long>(parts.y) << 16);
  }
  // The cluster's sum of counter `at`, once all blocks have counted.
  __device__ unsigned long long cluster_sum(int at) const {
    unsigned long long sum = 0;
#pragma unroll
    for (int r = 0; r < kSampleCluster; ++r) {
      sum += split_sum(cluster_.map_shared_rank(s_.space, r)->counters[s_.buffer][at]);
    }
    return sum;
  }

  const Cluster& cluster_;
  Slice& s_;
  float inverse_temperature_;
  Candidate last_;
};

template <Measure kMeasure>
__device__ inline void Selector::fill_buckets() {
  SampleSpace& space = *s_.space;
  const Counter counter = fresh_counter(kTail);
  double tail = 0.0;
  const auto skip = [&](float maximum) { return maximum < last_.logit; };
  for_each_token(s_, skip, [&](float logit, int32_t id) {
    if (!takes_part(logit, id)) return;
    const int b = bucket(logit);
    const float measure = kMeasure == Measure::kCount ? 1.0f : weight(logit);
    if (b == kTail) {
      tail += static_cast<double>(measure);
    } else if constexpr (kMeasure == Measure::kCount) {
      counter.count(b);
    } else {
      counter.add(b, weight_units(measure, b));
    }
  });
  for (int distance = 16; distance > 0; distance /= 2) {
    tail += __shfl_xor_sync(0xffffffffu, tail, distance);
  }
  if (threadIdx.x % 32 == 0) space.warp_tail[threadIdx.x / 32] = tail;
  __syncthreads();
  if (threadIdx.x < kSampleCluster) {
    double sum = 0.0;
    for (const double part : space.warp_tail) sum += part;
    cluster_.map_shared_rank(s_.space, threadIdx.x)->tails[s_.rank] = sum;
  }
}

// space.buckets.sums of all blocks: each adds up an eighth of the buckets for all.
template <Measure kMeasure>
__device__ inline void Selector::share_buckets() {
  static_assert(kTail == kSampleThreads);
  const int source = threadIdx.x % kSampleCluster;
  const int bucket =
      s_.rank * (kTail / kSampleCluster) + static_cast<int>(threadIdx.x) / kSampleCluster;
  const SampleSpace* from = cluster_.map_shared_rank(s_.space, source);
  unsigned long long units = split_sum(from->counters[s_.buffer][bucket]);
  for (int distance = kSampleCluster / 2; distance > 0; distance /= 2) {
    units += __shfl_xor_sync(0xffffffffu, units, distance);
  }
  double sum = static_cast<double>(units);
  if (kMeasure == Measure::kWeight) sum *= power_of_two(bucket_exponent(bucket) - 23);
  cluster_.map_shared_rank(s_.space, source)->buckets.sums[bucket] = sum;
}

// The tail's weights added one by one in the order of their ids, as the host does.
__device__ inline double Selector::exact_tail() {
  double sum = 0.0;
  for (int r = 0; r < kSampleCluster; ++r) {
    const float* logits = cluster_.map_shared_rank(s_.logits, r);
    for (int i = 0; i < s_.num_logits(); ++i) {
      const float logit = logits[i];
      if (!takes_part(logit, r * s_.num_logits() + i) || bucket(logit) != kTail) continue;
      sum = __dadd_rn(sum, static_cast<double>(weight(logit)));
    }
  }
  return sum;
}

// space.buckets.prefix: the running sum of the buckets with the host's rounding.
template <Measure kMeasure>
__device__ inline void Selector::sum_buckets() {
  SampleSpace& space = *s_.space;
  if (threadIdx.x < 32) {
    const double sum = sum_in_order(space.buckets.sums, kTail, space.buckets.prefix);
    double tail = 0.0;
    for (const double part : space.tails) tail += part;
    if constexpr (kMeasure == Measure::kWeight) {
      // Unlike the other buckets' the tail's sum is rounded, and its bits depend on the order. Both
      // orders are within kMargin of the exact sum; where that cannot change the total, which is
      // next to always, the host's order need not be followed.
      constexpr double kMargin = 0x1.0p-32;  // above 2 * kMaxSampleVocab * 2^-53
      const double least = __dadd_rn(sum, tail * (1.0 - kMargin));
      const double most = __dadd_rn(sum, tail * (1.0 + kMargin));
      if (least != most) tail = exact_tail();
    }
    if (threadIdx.x == 0) {
      space.buckets.sums[kTail] = tail;
      space.buckets.prefix[kTail] = __dadd_rn(sum, tail);
      space.chosen = kBuckets;
      space.last_filled = 0;
    }
  }
  __syncthreads();
}

template <Measure kMeasure>
__device__ inline Candidate Selector::reach(int count, float share) {
  SampleSpace& space = *s_.space;
  fill_buckets<kMeasure>();
  cluster_.sync();
  share_buckets<kMeasure>();
  cluster_.sync();
  sum_buckets<kMeasure>();
  const double total = space.buckets.prefix[kTail];
  const double target = kMeasure == Measure::kCount ? static_cast<double>(count)
                                                    : __dmul_rn(static_cast<double>(share), total);
  for (int i = threadIdx.x; i < kBuckets; i += kSampleThreads) {
    if (space.buckets.sums[i] <= 0.0) continue;
    atomicMax(&space.last_filled, i);
    if (space.buckets.prefix[i] >= target) atomicMin(&space.chosen, i);
  }
  __syncthreads();
  // Rounding may keep the running sum below the target.
  const int chosen = min(space.chosen, space.last_filled);
  const double rest = target - (chosen > 0 ? space.buckets.prefix[chosen - 1] : 0.0);
  // The tail is never chosen for a share: it has less than 2^-27 of the weight, and a share below 1
  // leaves at least 2^-24 out.
  const double scale =
      kMeasure == Measure::kCount ? 1.0 : power_of_two(23 - bucket_exponent(chosen));
  const auto all = static_cast<unsigned long long>(space.buckets.sums[chosen] * scale);
  const auto wanted = min(static_cast<unsigned long long>(fmax(ceil(rest * scale), 1.0)), all);
  // A weight is 2^23 units or more, but below 2^25.
  const unsigned long long about = kMeasure == Measure::kCount ? all : all >> 24;
  Candidate reached;
  if (about <= kFew && reach_among_few<kMeasure>(chosen, wanted, reached)) return reached;
  return reach_among_many<kMeasure>(chosen, wanted);
}

// The token at which the bucket's running sum reaches `target`, which is at most the bucket's sum.
// False, and nothing done, where the bucket has more than kFew tokens.
template <Measure kMeasure>
__device__ inline bool Selector::reach_among_few(int bucket, unsigned long long target,
                                                 Candidate& reached) {
  constexpr int kThreadsPerToken = 16;
  SampleSpace& space = *s_.space;
  if (threadIdx.x == 0) space.num_gathered = 0;
  __syncthreads();  // nor does anybody need space.buckets any longer
  for_each_token(s_, skip_beyond(bucket), [&](float logit, int32_t id) {
    if (!takes_part(logit, id) || this->bucket(logit) != bucket) return;
    const int at = atomicAdd(&space.num_gathered, 1);
    if (at < kFew) space.gathered[at] = {logit, id};
  });
  cluster_.sync();
  int size = 0;
  int first_own = 0;
  for (int r = 0; r < kSampleCluster; ++r) {
    const SampleSpace* other = cluster_.map_shared_rank(s_.space, r);
    const int count = other->num_gathered;
    const int at = static_cast<int>(threadIdx.x) - size;
    if (r == s_.rank) first_own = size;
    size += count;
    if (size > kFew) return false;
    if (at >= 0 && at < count) {
      const Candidate token = other->gathered[at];
      space.few.tokens[threadIdx.x] = token;
      space.few.units[threadIdx.x] = units<kMeasure>(token.logit, bucket);
    }
  }
  __syncthreads();
  const int part = threadIdx.x % kThreadsPerToken;
  for (int first = 0; first < space.num_gathered; first += kSampleThreads / kThreadsPerToken) {
    const int own = first + threadIdx.x / kThreadsPerToken;
    const bool is = own < space.num_gathered;
    const Candidate token = is ? space.few.tokens[first_own + own] : Candidate{0.0f, 0};
    unsigned long long sum = 0;
    for (int i = part; i < size; i += kThreadsPerToken) {
      if (!token.before(space.few.tokens[i])) sum += space.few.units[i];
    }
    for (int distance = kThreadsPerToken / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if (is && part < kSampleCluster && sum >= target &&
        sum - space.few.units[first_own + own] < target) {
      cluster_.map_shared_rank(s_.space, part)->found = token;
    }
  }
  cluster_.sync();
  reached = space.found;
  return true;
}

// The same for any number of tokens: digit by digit, then by id among those with the same logit.
template <Measure kMeasure>
__device__ inline Candidate Selector::reach_among_many(int bucket, unsigned long long target) {
  uint32_t digits = 0;  // of the inverted key, which rises in the order of sampling
  for (int shift = 24; shift >= 0; shift -= 8) {
    fill_digits<kMeasure>(bucket, shift, digits);
    cluster_.sync();
    choose_digit(target);
    digits = digits << 8 | static_cast<uint32_t>(s_.space->chosen);
    target = s_.space->rest;
  }
  const float logit = logit_of_key(~digits);
  const unsigned long long each = units<kMeasure>(logit, bucket);
  return {logit, nth_equal(logit, static_cast<int>((target + each - 1) / each))};
}

template <Measure kMeasure>
__device__ inline void Selector::fill_digits(int bucket, int shift, uint32_t prefix) {
  const Counter counter = fresh_counter(kDigits);
  for_each_token(s_, skip_beyond(bucket), [&](float logit, int32_t id) {
    if (!takes_part(logit, id) || this->bucket(logit) != bucket) return;
    const uint32_t digits = ~order_key(logit) >> shift;
    if (digits >> 8 != prefix) return;
    const int digit = static_cast<int>(digits & (kDigits - 1));
    if constexpr (kMeasure == Measure::kCount) {
      counter.count(digit);
    } else {
      counter.add(digit, units<kMeasure>(logit, bucket));
    }
  });
}

// space.chosen: the digit at which the running sum of the counters reaches `target`; space.rest:
// what the digits before leave of it.
__device__ inline void Selector::choose_digit(unsigned long long target) {
  SampleSpace& space = *s_.space;
  const int digit = threadIdx.x;
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const unsigned long long own = digit < kDigits ? cluster_sum(digit) : 0;
  unsigned long long sum = own;
  for (int distance = 1; distance < 32; distance *= 2) {
    const unsigned long long other = __shfl_up_sync(0xffffffffu, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == 31) space.warp_sum[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += space.warp_sum[w];
  if (sum >= target && sum - own < target) {
    space.chosen = digit;
    space.rest = target - (sum - own);
  }
  __syncthreads();
}

// The id of the nth token, from 1, among those with this logit that take part.
__device__ inline int32_t Selector::nth_equal(float logit, int nth) {
  SampleSpace& space = *s_.space;
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  const auto equals = [&](int at) {
    return s_.logits[at] == logit && takes_part(logit, s_.first_token() + at);
  };
  for (int b = warp; b < s_.num_blocks; b += kSampleWarps) {
    int count = 0;
    if (s_.block_max()[b] >= logit) {
      for (int i = lane; i < kVocabBlock; i += 32) count += equals(b * kVocabBlock + i) ? 1 : 0;
    }
    count = __reduce_add_sync(0xffffffffu, count);
    if (lane == 0) s_.equal()[b] = count;
  }
  __syncthreads();
  if (warp == 0) {
    int count = 0;
    for (int b = lane; b < s_.num_blocks; b += 32) count += s_.equal()[b];
    count = __reduce_add_sync(0xffffffffu, count);
    if (lane == 0) space.num_equal = count;
  }
  cluster_.sync();
  int owner = 0;
  for (; owner < kSampleCluster - 1; ++owner) {
    const int count = cluster_.map_shared_rank(s_.space, owner)->num_equal;
    if (nth <= count) break;
    nth -= count;
  }
  if (s_.rank == owner && warp == 0) {
    int block = 0;
    while (block < s_.num_blocks - 1 && nth > s_.equal()[block]) nth -= s_.equal()[block++];
    for (int i = lane; i < kVocabBlock; i += 32) {
      const bool is = equals(block * kVocabBlock + i);
      const uint32_t mask = __ballot_sync(0xffffffffu, is);
      const uint32_t up_to_here = mask & (0xffffffffu >> (31 - lane));
      if (is && __popc(up_to_here) == nth) {
        space.found_id = s_.first_token() + block * kVocabBlock + i;
      }
      nth -= __popc(mask);
    }
  }
  cluster_.sync();
  return cluster_.map_shared_rank(s_.space, owner)->found_id;
}

}  // namespace glmoe::cuda
