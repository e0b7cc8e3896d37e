// The token with which the first tokens of a row (in the order of sampling) reach a number or a
// share of the probability: top_k and top_p without sorting.
//
// Two steps. The row's tokens are summed into buckets by their distance from the best, as on the
// host: inside a bucket other than the tail all weights are multiples of one power of two and their
// sum has fewer than 53 bits, so that the host's additions of doubles are exact and integers in any
// order give the same. Then, in the bucket that reaches the target, exact integers throughout: a
// few tokens are compared each with each, many are searched from the highest bits of the logit to
// the lowest.
//
// Only the sums over buckets are rounded. They are taken in any order first, with a margin around
// the target (kSumMargin). Where a token is at its edge, which is next to never but for rows made
// so, it is all done again with the host's additions one by one.
#pragma once

#include "kernels/cuda/sample/block_scan.cuh"
#include "kernels/cuda/sample/draw.cuh"
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
  // What the first tokens are to reach: the bucket, and the sum there in its units, known to
  // within the margin.
  struct Goal {
    int bucket;  // kBuckets: not sure
    unsigned long long target;
    unsigned long long margin;
    // Whether a token with this sum before it and with it surely is the one.
    __device__ bool is(unsigned long long before, unsigned long long with) const {
      return with >= target + margin && (before == 0 || before + margin < target);
    }
  };
  enum class Reached { kYes, kUnsure, kTooMany };

  template <Measure kMeasure>
  __device__ Candidate reach(int count, float share);
  template <Measure kMeasure>
  __device__ void fill_buckets(bool exact);
  template <Measure kMeasure>
  __device__ void share_buckets();
  template <Measure kMeasure>
  __device__ Goal find_goal(int count, float share);
  __device__ Goal find_exact_goal(float share);
  __device__ double exact_tail();
  template <Measure kMeasure>
  __device__ Reached reach_among_few(const Goal& goal, Candidate& reached);
  template <Measure kMeasure>
  __device__ Reached reach_among_many(const Goal& goal, Candidate& reached);
  template <Measure kMeasure>
  __device__ void fill_digits(int bucket, int shift, uint32_t prefix);
  __device__ bool choose_digit(unsigned long long target);
  __device__ int32_t nth_equal(float logit, int nth);

  __device__ float weight(float logit) const {
    return token_weight(logit, s_.best, inverse_temperature_);
  }
  __device__ int bucket(float logit) const {
    return bucket_of(logit, s_.best, inverse_temperature_);
  }
  __device__ bool takes_part(float logit, int32_t id) const {
    return !last_.before({logit, id}) & (logit > minus_infinity());
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
#pragma unroll 2
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

// `exact`: the tail's sum as a double.
template <Measure kMeasure>
__device__ inline void Selector::fill_buckets(bool exact) {
  SampleSpace& space = *s_.space;
  const Counter counter = fresh_counter(kTail);
  // A float's rounding is far below the margin: all of the tail is below 2^-27 of the weight.
  float quick_tail = 0.0f;
  double tail = 0.0;
  const auto skip = [&](float maximum) { return maximum < last_.logit; };
  for_each_token(s_, skip, [&](float logit, int32_t id) {
    const int b = bucket(logit);
    const bool part = takes_part(logit, id);
    if constexpr (kMeasure == Measure::kCount) {
      quick_tail += part & (b == kTail) ? 1.0f : 0.0f;
      if (part & (b != kTail)) counter.count(b);
    } else {
      const float w = weight(logit);
      const float of_tail = part & (b == kTail) ? w : 0.0f;
      quick_tail += of_tail;
      if (exact) tail += static_cast<double>(of_tail);
      const uint32_t units = weight_units(w, b);
      if (part & (b != kTail)) counter.add(b, units);
    }
  });
  double all = 0.0;
  block_sum_before(exact ? tail : static_cast<double>(quick_tail), space.warp_sums, all);
  if (threadIdx.x < kSampleCluster) {
    cluster_.map_shared_rank(s_.space, threadIdx.x)->tails[s_.rank] = all;
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

// The goal from sums in any order.
template <Measure kMeasure>
__device__ inline Selector::Goal Selector::find_goal(int count, float share) {
  SampleSpace& space = *s_.space;
  double tail = 0.0;
  for (const double part : space.tails) tail += part;
  if (threadIdx.x == 0) space.chosen = kBuckets;
  const double own = space.buckets.sums[threadIdx.x];
  double total = 0.0;
  const double before = block_sum_before(own, space.warp_sums, total);
  // Counts are exact.
  constexpr bool kCounted = kMeasure == Measure::kCount;
  const double margin = kCounted ? 0.0 : (total + tail) * kSumMargin;
  const double target = kCounted ? fmin(static_cast<double>(count), total + tail)
                                 : static_cast<double>(share) * (total + tail);
  const auto reaches = [&](double sum_before, double sum) {
    return sum > 0.0 && sum_before + sum >= target + margin &&
           (sum_before == 0.0 || sum_before < target - margin);
  };
  if (reaches(before, own)) space.chosen = threadIdx.x, space.before = before;
  // For a share the tail is never chosen: it has less than 2^-27 of the weight, and a share below 1
  // leaves at least 2^-24 out.
  if (kCounted && threadIdx.x == 0 && reaches(total, tail)) {
    space.chosen = kTail;
    space.before = total;
    space.buckets.sums[kTail] = tail;
  }
  __syncthreads();
  const int chosen = space.chosen;
  const double rest = target - space.before;
  if constexpr (kCounted) return {chosen, static_cast<unsigned long long>(rest), 0};
  if (chosen == kBuckets) return {kBuckets, 0, 0};
  const double scale = power_of_two(23 - bucket_exponent(chosen));
  return {chosen, static_cast<unsigned long long>(fmax(ceil(rest * scale), 1.0)),
          static_cast<unsigned long long>(margin * scale) + 2};
}

// The goal as the host finds it, addition by addition.
__device__ inline Selector::Goal Selector::find_exact_goal(float share) {
  SampleSpace& space = *s_.space;
  if (threadIdx.x == 0) {
    const double sum = sum_in_order(space.buckets.sums, kTail);
    double tail = 0.0;
    for (const double part : space.tails) tail += part;
    // Unlike the other buckets' the tail's sum is rounded, and its bits depend on the order. Both
    // orders are within kMargin of the exact sum; where that cannot change the total, the host's
    // order need not be followed.
    constexpr double kMargin = 0x1.0p-32;  // above 2 * kMaxSampleVocab * 2^-53
    if (__dadd_rn(sum, tail * (1.0 - kMargin)) != __dadd_rn(sum, tail * (1.0 + kMargin))) {
      tail = exact_tail();
    }
    const double target = __dmul_rn(static_cast<double>(share), __dadd_rn(sum, tail));
    double up_to = 0.0;
    for (int i = 0; i < kTail && up_to < target; ++i) {
      if (space.buckets.sums[i] <= 0.0) continue;
      space.chosen = i;
      space.before = up_to;
      up_to = __dadd_rn(up_to, space.buckets.sums[i]);
    }
    space.before = __dsub_rn(target, space.before);
  }
  __syncthreads();
  const double scale = power_of_two(23 - bucket_exponent(space.chosen));
  const double all = space.buckets.sums[space.chosen] * scale;
  // Rounding may keep the running sum below the target.
  return {space.chosen,
          static_cast<unsigned long long>(fmin(fmax(ceil(space.before * scale), 1.0), all)), 0};
}

template <Measure kMeasure>
__device__ inline Candidate Selector::reach(int count, float share) {
  bool exact = false;
  while (true) {
    fill_buckets<kMeasure>(exact);
    cluster_.sync();
    share_buckets<kMeasure>();
    cluster_.sync();
    const Goal goal = exact ? find_exact_goal(share) : find_goal<kMeasure>(count, share);
    Candidate reached;
    Reached how = Reached::kUnsure;
    if (goal.bucket < kBuckets) how = reach_among_few<kMeasure>(goal, reached);
    if (how == Reached::kTooMany) how = reach_among_many<kMeasure>(goal, reached);
    if (how == Reached::kYes || exact) return reached;
    exact = true;
  }
}

// The goal's token, where its bucket has kFew tokens at most.
template <Measure kMeasure>
__device__ inline Selector::Reached Selector::reach_among_few(const Goal& goal,
                                                              Candidate& reached) {
  constexpr int kThreadsPerToken = 16;
  SampleSpace& space = *s_.space;
  int* own_gathered = &space.num_gathered[s_.rank];
  if (threadIdx.x == 0) *own_gathered = 0, space.found.id = -1;
  __syncthreads();  // nor does anybody need space.buckets any longer
  for_each_token(s_, skip_beyond(goal.bucket), [&](float logit, int32_t id) {
    if (!takes_part(logit, id) || bucket(logit) != goal.bucket) return;
    const int at = atomicAdd(own_gathered, 1);
    if (at < kFew) space.gathered[at] = {logit, id};
  });
  __syncthreads();
  const int num_own = *own_gathered;
  if (threadIdx.x < kSampleCluster && static_cast<int>(threadIdx.x) != s_.rank) {
    cluster_.map_shared_rank(s_.space, threadIdx.x)->num_gathered[s_.rank] = num_own;
  }
  cluster_.sync();
  int size = 0;
  int first_own = 0;
  int source = 0;
  int at = 0;
  for (int r = 0; r < kSampleCluster; ++r) {
    if (r == s_.rank) first_own = size;
    if (static_cast<int>(threadIdx.x) >= size) source = r, at = threadIdx.x - size;
    size += space.num_gathered[r];
  }
  if (size > kFew) return Reached::kTooMany;
  if (static_cast<int>(threadIdx.x) < size) {
    const Candidate token = cluster_.map_shared_rank(s_.space, source)->gathered[at];
    space.few.tokens[threadIdx.x] = token;
    space.few.units[threadIdx.x] = units<kMeasure>(token.logit, goal.bucket);
  }
  __syncthreads();
  const int part = threadIdx.x % kThreadsPerToken;
  for (int first = 0; first < num_own; first += kSampleThreads / kThreadsPerToken) {
    const int own = first + threadIdx.x / kThreadsPerToken;
    const bool is = own < num_own;
    const Candidate token = is ? space.few.tokens[first_own + own] : Candidate{0.0f, 0};
    unsigned long long sum = 0;
    for (int i = part; i < size; i += kThreadsPerToken) {
      sum += token.before(space.few.tokens[i]) ? 0 : space.few.units[i];
    }
    for (int distance = kThreadsPerToken / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    }
    if (is && part < kSampleCluster && goal.is(sum - space.few.units[first_own + own], sum)) {
      cluster_.map_shared_rank(s_.space, part)->found = token;
    }
  }
  cluster_.sync();
  reached = space.found;
  return reached.id >= 0 ? Reached::kYes : Reached::kUnsure;
}

// The goal's token among any number: digit by digit, then by id among those with the same logit.
template <Measure kMeasure>
__device__ inline Selector::Reached Selector::reach_among_many(const Goal& goal,
                                                               Candidate& reached) {
  uint32_t digits = 0;  // of the inverted key, which rises in the order of sampling
  unsigned long long rest = goal.target;
  for (int shift = 24; shift >= 0; shift -= 8) {
    fill_digits<kMeasure>(goal.bucket, shift, digits);
    cluster_.sync();
    if (!choose_digit(rest)) return Reached::kUnsure;
    digits = digits << 8 | static_cast<uint32_t>(s_.space->chosen);
    rest = s_.space->rest;
  }
  const float logit = logit_of_key(~digits);
  const unsigned long long each = units<kMeasure>(logit, goal.bucket);
  const unsigned long long nth = (rest + each - 1) / each;
  reached = {logit, nth_equal(logit, static_cast<int>(nth))};
  const unsigned long long with = goal.target - rest + nth * each;
  return goal.is(with - each, with) ? Reached::kYes : Reached::kUnsure;
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
// what the digits before leave of it. False where all of them do not reach it.
__device__ inline bool Selector::choose_digit(unsigned long long target) {
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
  if (threadIdx.x == 0) space.chosen = -1;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += space.warp_sum[w];
  if (sum >= target && sum - own < target) {
    space.chosen = digit;
    space.rest = target - (sum - own);
  }
  __syncthreads();
  return space.chosen >= 0;
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
