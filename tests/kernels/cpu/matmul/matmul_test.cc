#include "kernels/cpu/matmul/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace glmoe {
namespace {

constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kBF16, WeightType::kF16};

float random_float(uint64_t stream, uint64_t i) {
  return static_cast<float>(2.0 * random_uniform(11, stream, i) - 1.0);
}

uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

size_t bytes_of(WeightType type) { return type == WeightType::kF32 ? 4 : 2; }

// A weight [N, K] whose last byte is the last of a mapped page: one byte too far is a fault.
class PagedWeight {
 public:
  PagedWeight(WeightType type, int64_t n, int64_t k) : type_(type), values_(n * k) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t bytes = values_.size() * bytes_of(type);
    const size_t whole = (bytes + page - 1) / page * page;
    mapped_ = whole + page;
    base_ = static_cast<std::byte*>(
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ::mprotect(base_ + whole, page, PROT_NONE);
    data_ = base_ + whole - bytes;
    for (size_t i = 0; i < values_.size(); ++i) set(i, random_float(1, i));
  }
  ~PagedWeight() { ::munmap(base_, mapped_); }
  PagedWeight(const PagedWeight&) = delete;
  PagedWeight& operator=(const PagedWeight&) = delete;

  const void* data() const { return data_; }
  float value(size_t i) const { return values_[i]; }

 private:
  void set(size_t i, float value) {
    if (type_ == WeightType::kF32) {
      values_[i] = value;
      std::memcpy(data_ + i * 4, &value, 4);
    } else if (type_ == WeightType::kBF16) {
      const uint16_t bits = to_bf16(value);
      values_[i] = from_bf16(bits);
      std::memcpy(data_ + i * 2, &bits, 2);
    } else {
      // Exact in half precision: sign, 10 fraction bits, exponent -1.
      const auto fraction = static_cast<uint16_t>(std::abs(value) * 1023.0f);
      const auto bits = static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | 0x3800 | fraction);
      values_[i] = (value < 0 ? -0.5f : 0.5f) * (1.0f + static_cast<float>(fraction) / 1024.0f);
      std::memcpy(data_ + i * 2, &bits, 2);
    }
  }

  WeightType type_;
  std::vector<float> values_;
  std::byte* base_ = nullptr;
  std::byte* data_ = nullptr;
  size_t mapped_ = 0;
};

std::vector<float> random_tokens(int64_t num_tokens, int64_t k) {
  std::vector<float> x(static_cast<size_t>(num_tokens * k));
  for (size_t i = 0; i < x.size(); ++i) x[i] = random_float(2, i);
  return x;
}

class Packed {
 public:
  Packed(int64_t rows, int64_t k) : bytes_(static_cast<size_t>(rows) * packed_row_bytes(k) + 64) {
    void* p = bytes_.data();
    size_t space = bytes_.size();
    tokens_ = {static_cast<std::byte*>(std::align(64, 1, p, space)), packed_row_bytes(k)};
    std::fill(bytes_.begin(), bytes_.end(), std::byte{0xff});  // NaN wherever nothing is written
  }
  const PackedTokens& tokens() const { return tokens_; }

 private:
  std::vector<std::byte> bytes_;
  PackedTokens tokens_;
};

std::vector<float> product(CpuTarget target, bool round, const std::vector<float>& x,
                           int64_t num_tokens, const PagedWeight& weight, WeightType type,
                           int64_t n, int64_t k, int64_t piece = kMaxMatmulRows) {
  const MatmulKernels& kernels = matmul_kernels(target, round);
  Packed packed(num_tokens, k);
  pack_tokens(kernels, type, round, x.data(), k, num_tokens, k, packed.tokens());
  std::vector<float> out(static_cast<size_t>(num_tokens * n), -1.0f);
  const MatmulInput input{.x = packed.tokens(),
                          .num_tokens = num_tokens,
                          .weight = weight.data(),
                          .type = type,
                          .k = k};
  for (int64_t begin = 0; begin < n; begin += piece) {
    matmul_rows(kernels, input, {.out = out.data(), .stride = n}, begin,
                std::min(begin + piece, n));
  }
  return out;
}

float input_value(float x, bool round) { return round ? from_bf16(to_bf16(x)) : x; }

class EveryTarget : public testing::TestWithParam<std::tuple<CpuTarget, WeightType, bool>> {
 protected:
  CpuTarget target() const { return std::get<0>(GetParam()); }
  WeightType type() const { return std::get<1>(GetParam()); }
  bool round() const { return std::get<2>(GetParam()); }
};

TEST_P(EveryTarget, AgreesWithADoubleLoopForEveryEdgeSize) {
  for (const int64_t k : {1, 7, 8, 15, 48, 64, 160, 1023, 1408, 2050}) {
    for (const int64_t n : {1, 3, 5, 48}) {
      const PagedWeight weight(type(), n, k);
      for (const int64_t num_tokens : {0, 1, 2, 3, 5, 8, 12, 13, 33, 100}) {
        if (num_tokens > 13 && n == 48 && k > 160) continue;  // nothing new, much time
        const std::vector<float> x = random_tokens(num_tokens, k);
        const auto out = product(target(), round(), x, num_tokens, weight, type(), n, k);
        for (int64_t t = 0; t < num_tokens; ++t) {
          for (int64_t i = 0; i < n; ++i) {
            double sum = 0.0, magnitude = 0.0;
            for (int64_t j = 0; j < k; ++j) {
              const double term =
                  static_cast<double>(input_value(x[static_cast<size_t>(t * k + j)], round())) *
                  weight.value(static_cast<size_t>(i * k + j));
              sum += term;
              magnitude += std::abs(term);
            }
            // Any order of K additions is within K roundings of the sum of magnitudes.
            const double limit = (static_cast<double>(k) + 2) * 0x1p-24 * magnitude;
            ASSERT_NEAR(out[static_cast<size_t>(t * n + i)], sum, limit)
                << "K " << k << " N " << n << " T " << num_tokens << " at " << t << ", " << i;
          }
        }
      }
    }
  }
}

TEST_P(EveryTarget, GivesEveryTokenTheSameBitsInAnyBatchAndAnySplitOfTheRows) {
  constexpr int64_t kMost = 512;
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{21, 1408}, {8, 2051}, {70, 96}}) {
    const PagedWeight weight(type(), n, k);
    const std::vector<float> x = random_tokens(kMost, k);
    const auto all = product(target(), round(), x, kMost, weight, type(), n, k);
    for (const int64_t batch : {1, 2, 3, 7, 12, 13, 33, 97}) {
      for (const int64_t first : {int64_t{0}, int64_t{101}, kMost - batch}) {
        const std::vector<float> part(x.begin() + first * k, x.begin() + (first + batch) * k);
        const int64_t piece = batch % 2 == 0 ? 8 : 5;
        const auto out = product(target(), round(), part, batch, weight, type(), n, k, piece);
        ASSERT_EQ(std::memcmp(out.data(), all.data() + first * n, out.size() * 4), 0)
            << "N " << n << " K " << k << ", " << batch << " tokens from " << first;
      }
    }
  }
}

TEST_P(EveryTarget, SwigluIsSiluOfTheGateTimesTheUpRowsAndTheSameInAnyBatch) {
  constexpr int64_t kHidden = 70, kInputs = 1100, kTokens = 40;
  const MatmulKernels& kernels = matmul_kernels(target(), round());
  const PagedWeight weight(type(), 2 * kHidden, kInputs);
  // The identity as the next weight shows the packed hidden values.
  std::vector<float> identity(kHidden * kHidden, 0.0f);
  for (size_t i = 0; i < kHidden; ++i) identity[i * kHidden + i] = 1.0f;
  std::vector<float> x = random_tokens(kTokens, kInputs);
  for (float& value : x) value *= 0.2f;
  const auto hidden = [&](int64_t first, int64_t count) {
    Packed packed(count, kInputs), middle(count, kHidden);
    pack_tokens(kernels, type(), round(), x.data() + first * kInputs, kInputs, count, kInputs,
                packed.tokens());
    const MatmulInput input{packed.tokens(), nullptr, count, weight.data(), type(), kInputs};
    const SwigluOutput output{middle.tokens(), kHidden, WeightType::kF32, round()};
    matmul_swiglu(kernels, input, output, 64, kHidden);
    matmul_swiglu(kernels, input, output, 0, 64);
    std::vector<float> out(static_cast<size_t>(count * kHidden));
    const MatmulInput next{middle.tokens(), nullptr,          count,
                           identity.data(), WeightType::kF32, kHidden};
    for (int64_t begin = 0; begin < kHidden; begin += 64) {
      matmul_rows(kernels, next, {.out = out.data(), .stride = kHidden}, begin,
                  std::min<int64_t>(begin + 64, kHidden));
    }
    return out;
  };
  const auto all = hidden(0, kTokens);
  for (int64_t t = 0; t < kTokens; ++t) {
    const auto one = hidden(t, 1);
    ASSERT_EQ(std::memcmp(one.data(), all.data() + t * kHidden, one.size() * 4), 0) << t;
  }
  const auto gate = product(target(), round(), x, kTokens, weight, type(), 2 * kHidden, kInputs);
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t f = 0; f < kHidden; ++f) {
      const double g = gate[t * 2 * kHidden + f], u = gate[t * 2 * kHidden + kHidden + f];
      const double wanted = g / (1.0 + std::exp(-g)) * u;
      const double unit = round() ? 0x1p-8 : 0x1p-21;  // bfloat16's; a few of F32's in exp
      ASSERT_NEAR(all[t * kHidden + f], wanted, std::abs(wanted) * unit) << t << " " << f;
    }
  }
}

TEST_P(EveryTarget, TakesTokensAndLeavesResultsWhereTheListsSay) {
  constexpr int64_t kN = 9, kK = 40;
  const MatmulKernels& kernels = matmul_kernels(target(), round());
  const PagedWeight weight(type(), kN, kK);
  const std::vector<float> x = random_tokens(4, kK);
  const auto plain = product(target(), round(), x, 4, weight, type(), kN, kK);
  Packed packed(4, kK);
  pack_tokens(kernels, type(), round(), x.data(), kK, 4, kK, packed.tokens());
  const int32_t from[] = {3, 1}, to[] = {0, 2};
  std::vector<float> bias(kN), out(3 * kN, 10.0f);
  for (size_t i = 0; i < kN; ++i) bias[i] = static_cast<float>(i);
  matmul_rows(kernels, {packed.tokens(), from, 2, weight.data(), type(), kK},
              {out.data(), kN, to, bias.data(), true}, 0, kN);
  for (size_t i = 0; i < kN; ++i) {
    EXPECT_EQ(out[i], 10.0f + (plain[3 * kN + i] + bias[i]));
    EXPECT_EQ(out[kN + i], 10.0f);
    EXPECT_EQ(out[2 * kN + i], 10.0f + (plain[kN + i] + bias[i]));
  }
}

std::string name_of(const testing::TestParamInfo<EveryTarget::ParamType>& info) {
  const char* const types[] = {"F32", "BF16", "F16"};
  return std::string(cpu_target_name(std::get<0>(info.param))) +
         types[static_cast<int>(std::get<1>(info.param))] +
         (std::get<2>(info.param) ? "Rounded" : "Exact");
}

INSTANTIATE_TEST_SUITE_P(Matmul, EveryTarget,
                         testing::Combine(testing::ValuesIn(supported_cpu_targets()),
                                          testing::ValuesIn(kTypes), testing::Bool()),
                         name_of);

TEST(MatmulKernelsTest, RoundsInputsToTheNearestEvenBfloat16) {
  for (const CpuTarget target : supported_cpu_targets()) {
    // 1 + 2^-8 lies midway and goes down to even, 1 + 3 * 2^-8 up to even; NaN stays NaN.
    const std::vector<float> x = {1.00390625f, 1.01171875f, -1.00390625f, std::nanf("")};
    const PagedWeight weight(WeightType::kF32, 1, 1);
    const auto out = product(target, true, x, 4, weight, WeightType::kF32, 1, 1);
    const float w = weight.value(0);
    EXPECT_EQ(out[0], 1.0f * w);
    EXPECT_EQ(out[1], 1.015625f * w);
    EXPECT_EQ(out[2], -1.0f * w);
    EXPECT_TRUE(std::isnan(out[3]));
  }
}

}  // namespace
}  // namespace glmoe
