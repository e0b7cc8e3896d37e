#include "layers/moe_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <functional>

#include "glmoe/error.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr MoeBackendKind kAll[] = {MoeBackendKind::kAuto, MoeBackendKind::kCutlass,
                                   MoeBackendKind::kTrtllm, MoeBackendKind::kVanilla,
                                   MoeBackendKind::kWideep};

std::string message_of(const std::function<void()>& body, ErrorCode code) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return {};
}

TEST(MoeBackend, NamesAreReadBackInEitherCase) {
  for (const MoeBackendKind kind : kAll) {
    std::string name(moe_backend_name(kind));
    EXPECT_EQ(moe_backend_from_name(name), kind);
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(moe_backend_from_name(name), kind);
    name += "x";
    EXPECT_THAT(message_of([&] { moe_backend_from_name(name); }, ErrorCode::kInvalidArgument),
                AllOf(HasSubstr(name), HasSubstr("CUTLASS"), HasSubstr("WIDEEP")));
  }
}

TEST(MoeBackend, TheVerdictHasEveryReasonAndAgreesWithTheFactory) {
  Glm4MoeConfig config = Glm4MoeConfig::preset("glm-4.5-air");
  for (const QuantAlgo algo :
       {QuantAlgo::kNone, QuantAlgo::kFp8, QuantAlgo::kFp8BlockScales, QuantAlgo::kNvfp4}) {
    config.quantization.quant_algo = algo;
    const bool trtllm_weights = algo == QuantAlgo::kFp8BlockScales || algo == QuantAlgo::kNvfp4;
    EXPECT_EQ(can_implement_on_cpu(MoeBackendKind::kTrtllm, config).reasons.size(),
              trtllm_weights ? 1u : 2u);
    EXPECT_EQ(can_implement_on_cpu(MoeBackendKind::kWideep, config).reasons.size(), 1u);
    for (const MoeBackendKind kind : kAll) {
      const BackendVerdict verdict = can_implement_on_cpu(kind, config);
      const std::string message =
          message_of([&] { make_cpu_moe_backend(kind, config); }, ErrorCode::kUnsupported);
      EXPECT_EQ(message.empty(), verdict.ok()) << moe_backend_name(kind);
      for (const std::string& reason : verdict.reasons) EXPECT_THAT(message, HasSubstr(reason));
    }
  }
  config.quantization.quant_algo = QuantAlgo::kFp8;
  EXPECT_THAT(can_implement_on_cpu(MoeBackendKind::kTrtllm, config).to_string(),
              AllOf(HasSubstr("GPU"), HasSubstr("; "), HasSubstr("these are FP8")));
  config.quantization.quant_algo = QuantAlgo::kNone;
  EXPECT_THAT(can_implement_on_cpu(MoeBackendKind::kTrtllm, config).to_string(),
              HasSubstr("these are bfloat16"));
}

// What every backend must do, whichever runs.
class BackendContract : public ::testing::TestWithParam<MoeBackendKind> {
 protected:
  static constexpr int64_t kTokens = 7, kWidth = 10, kExperts = 5, kInner = 6, kTopK = 2;

  BackendContract() {
    weights_.experts_gate_up = {{gate_up_.data(), DType::kF32, Shape{kExperts, 2 * kInner, kWidth}},
                                {}};
    weights_.experts_down = {{down_.data(), DType::kF32, Shape{kExperts, kWidth, kInner}}, {}};
    for (int64_t i = 0; i < kTokens; ++i) {
      // Expert 3 gets nobody, expert 0 everybody.
      ids_.push_back(0);
      ids_.push_back(i % 2 == 0 ? 4 : static_cast<int32_t>(1 + i / 2 % 2));
    }
  }
  // Rows [first, first + count), added to what `out` holds.
  void forward(int64_t first, int64_t count, std::vector<float>& out) {
    OpEnvironment env;
    const Routing routing{{ids_.data() + first * kTopK, DType::kI32, Shape{count, kTopK}},
                          {slot_weights_.data() + first * kTopK, DType::kF32, Shape{count, kTopK}}};
    backend_->forward(env.context(),
                      {x_.data() + first * kWidth, DType::kF32, Shape{count, kWidth}}, routing,
                      weights_, {out.data(), DType::kF32, Shape{count, kWidth}});
  }
  // One expert's SwiGLU of one row, in double.
  double expert(int64_t e, int64_t token, int64_t column) const {
    double sum = 0.0;
    for (int64_t i = 0; i < kInner; ++i) {
      double gate = 0.0, up = 0.0;
      for (int64_t k = 0; k < kWidth; ++k) {
        const double x = x_[static_cast<size_t>(token * kWidth + k)];
        gate += x * gate_up_[static_cast<size_t>((e * 2 * kInner + i) * kWidth + k)];
        up += x * gate_up_[static_cast<size_t>((e * 2 * kInner + kInner + i) * kWidth + k)];
      }
      const double silu = gate / (1.0 + std::exp(-gate));
      sum += silu * up * down_[static_cast<size_t>((e * kWidth + column) * kInner + i)];
    }
    return sum;
  }

  std::vector<float> x_ = random_floats(kTokens * kWidth, 1);
  std::vector<float> gate_up_ = random_floats(kExperts * 2 * kInner * kWidth, 2);
  std::vector<float> down_ = random_floats(kExperts * kWidth * kInner, 3);
  std::vector<float> slot_weights_ = random_floats(kTokens * kTopK, 4);
  std::vector<int32_t> ids_;
  MoeWeights weights_;
  std::unique_ptr<MoeBackend> backend_ = make_cpu_moe_backend(GetParam(), Glm4MoeConfig{});
};

TEST_P(BackendContract, AddsTheWeightedExpertsToWhatIsThere) {
  std::vector<float> out(kTokens * kWidth);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i);
  forward(0, kTokens, out);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t c = 0; c < kWidth; ++c) {
      const auto at = static_cast<size_t>(t * kWidth + c);
      double wanted = static_cast<double>(at);
      for (int64_t j = 0; j < kTopK; ++j) {
        const auto slot = static_cast<size_t>(t * kTopK + j);
        wanted += slot_weights_[slot] * expert(ids_[slot], t, c);
      }
      // Numbers up to 70 with 24 bits: a few roundings of 2^-18 each.
      EXPECT_NEAR(out[at], wanted, 3e-5) << "row " << t << ", column " << c;
    }
  }
}

TEST_P(BackendContract, ARowAloneIsTheSameToTheBit) {
  std::vector<float> together(kTokens * kWidth, 0.5f);
  forward(0, kTokens, together);
  for (int64_t t = 0; t < kTokens; ++t) {
    std::vector<float> alone(kWidth, 0.5f);
    forward(t, 1, alone);
    EXPECT_EQ(alone, std::vector<float>(together.begin() + t * kWidth,
                                        together.begin() + (t + 1) * kWidth))
        << "row " << t;
  }
}

TEST_P(BackendContract, NoRowsAreLegal) {
  std::vector<float> out(kWidth, 2.0f);
  forward(0, 0, out);
  EXPECT_EQ(out, std::vector<float>(kWidth, 2.0f));
}

INSTANTIATE_TEST_SUITE_P(Backends, BackendContract,
                         ::testing::Values(MoeBackendKind::kAuto, MoeBackendKind::kCutlass,
                                           MoeBackendKind::kVanilla),
                         [](const auto& test) {
                           return std::string(moe_backend_name(test.param));
                         });

}  // namespace
}  // namespace glmoe
