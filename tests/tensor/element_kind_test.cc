#include "tensor/element_kind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace glmoe {
namespace {

TEST(ElementKind, IsOneOfTheEnginesTypes) {
  EXPECT_EQ(dtype_of(ElementKind::kFloat32, "x"), DType::kF32);
  EXPECT_EQ(dtype_of(ElementKind::kBfloat16, "x"), DType::kBF16);
  EXPECT_EQ(dtype_of(ElementKind::kFloat16, "x"), DType::kF16);
}

TEST(ElementKind, OfAnUnknownNumberIsRefusedWithThePlaceNamed) {
  try {
    dtype_of(static_cast<ElementKind>(77), "state_dict");
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("state_dict: unknown kind of elements 77"));
  }
}

}  // namespace
}  // namespace glmoe
