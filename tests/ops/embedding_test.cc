#include "ops/embedding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "glmoe/error.h"
#include "support/compare.h"
#include "support/op_fixture.h"

namespace glmoe {
namespace {

using testing::matrix_view;
using testing::OpEnvironment;
using testing::random_floats;
using testing::same_bits;

TEST(Embedding, GathersAndWidensRowsOfEveryType) {
  constexpr int64_t kVocabulary = 50, kHidden = 37;
  OpEnvironment env;
  auto table = random_floats(kVocabulary * kHidden, 5);
  for (float& value : table) value = bf16_to_f32(f32_to_bf16(value));  // exact in BF16 and F32
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    std::vector<std::byte> stored(table.size() * dtype_size(dtype));
    convert_elements(table.data(), DType::kF32, stored.data(), dtype, table.size());
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 70; ++i) ids.push_back(i * 13 % 50);
    std::vector<float> out(ids.size() * kHidden), wanted(out.size());
    convert_elements(stored.data(), dtype, table.data(), DType::kF32, table.size());
    for (size_t t = 0; t < ids.size(); ++t) {
      std::copy_n(table.begin() + ids[t] * kHidden, kHidden,
                  wanted.begin() + static_cast<int64_t>(t) * kHidden);
    }
    const QuantView view{
        .codes = {.data = stored.data(), .dtype = dtype, .shape = Shape{kVocabulary, kHidden}}};
    embedding(env.context(), ids, view, matrix_view(out, 70, kHidden));
    EXPECT_TRUE(same_bits(out, wanted, kHidden)) << dtype_name(dtype);
  }
}

TEST(Embedding, AnIdOutsideOfTheVocabularyIsRefused) {
  OpEnvironment env;
  std::vector<float> table(4 * 3), out(3);
  const QuantView view{.codes = matrix_view(table, 4, 3)};
  for (const int32_t id : {-1, 4}) {
    try {
      embedding(env.context(), std::span(&id, 1), view, matrix_view(out, 1, 3));
      FAIL() << id << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInternal);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("wanted 0 to 3, found " + std::to_string(id)));
    }
  }
}

TEST(Embedding, NoTokensAreFine) {
  OpEnvironment env;
  std::vector<float> table(4 * 3), out;
  embedding(env.context(), {}, {.codes = matrix_view(table, 4, 3)}, matrix_view(out, 0, 3));
}

}  // namespace
}  // namespace glmoe
