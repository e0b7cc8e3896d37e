#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace glmoe {
namespace {

TEST(Shape, KnowsItsElementsAndPrintsItself) {
  EXPECT_EQ((Shape{2, 3, 4}).num_elements(), 24);
  EXPECT_EQ((Shape{2, 3, 4}).to_string(), "[2, 3, 4]");
  EXPECT_EQ(Shape{}.num_elements(), 1);
  EXPECT_EQ(Shape{}.to_string(), "[]");
  EXPECT_EQ((Shape{5, 0}).num_elements(), 0);
  EXPECT_FALSE((Shape{2, 3}) == (Shape{2, 3, 1}));
  EXPECT_TRUE((Shape{2, 3}) == (Shape{2, 3}));
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), Error);
}

TEST(QuantView, TakesOneMatrixOfAStack) {
  float data[24];
  const QuantView stack{.codes = {data, DType::kF32, Shape{2, 3, 4}}, .scales = {}};
  const QuantView second = stack.matrix(1);
  EXPECT_EQ(second.codes.data, data + 12);
  EXPECT_EQ(second.rows(), 3);
  EXPECT_EQ(second.cols(), 4);
  EXPECT_THROW(stack.matrix(2), Error);
  EXPECT_THROW(second.matrix(0), Error);
}

TEST(Buffer, IsZeroedAlignedAndMovable) {
  Buffer buffer(100000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  EXPECT_TRUE(std::all_of(buffer.data(), buffer.data() + buffer.size(),
                          [](std::byte b) { return b == std::byte{0}; }));
  buffer.data()[99999] = std::byte{7};
  std::byte* const data = buffer.data();
  Buffer other(std::move(buffer));
  EXPECT_EQ(other.data(), data);
  EXPECT_EQ(other.size(), 100000u);
  Buffer third(8);
  third = std::move(other);
  EXPECT_EQ(third.data()[99999], std::byte{7});
  EXPECT_EQ(Buffer(0).data(), nullptr);
  EXPECT_EQ(Buffer().size(), 0u);
}

TEST(Buffer, SaysHowMuchMemoryCouldNotBeHad) {
  try {
    const Buffer buffer(SIZE_MAX / 2);
    FAIL() << "that much memory?";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_NE(std::string(error.what()).find(std::to_string(SIZE_MAX / 2)), std::string::npos);
  }
}

TEST(Workspace, GivesDistinctAlignedPiecesAndLearnsItsSize) {
  Workspace workspace;
  for (int step = 0; step < 3; ++step) {
    float* a = workspace.allocate<float>(1000);
    int32_t* b = workspace.allocate<int32_t>(10);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % 64, 0u);
    std::fill(a, a + 1000, 1.0f);
    std::fill(b, b + 10, 2);
    EXPECT_EQ(*std::max_element(a, a + 1000), 1.0f);
    workspace.reset();
    EXPECT_GE(workspace.capacity(), 4040u);
  }
  EXPECT_EQ(workspace.high_water(), workspace.capacity());
}

// Scopes that release and allocate again while the first block is still too small: memory that is
// alive must never be handed out twice.
TEST(Workspace, PiecesThatAreAliveNeverOverlapAcrossScopes) {
  Workspace workspace;
  for (int step = 0; step < 2; ++step) {
    auto* outer = workspace.allocate<uint8_t>(300);
    std::fill(outer, outer + 300, uint8_t{1});
    for (int i = 0; i < 4; ++i) {
      const Workspace::Scope scope(workspace);
      auto* inner = workspace.allocate<uint8_t>(5000);
      std::fill(inner, inner + 5000, uint8_t{2});
      auto* other = workspace.allocate<uint8_t>(100);
      std::fill(other, other + 100, uint8_t{3});
      EXPECT_EQ(std::count(inner, inner + 5000, 2), 5000);
    }
    EXPECT_EQ(std::count(outer, outer + 300, 1), 300);
    workspace.reset();
  }
  EXPECT_LT(workspace.capacity(), 2 * 5000u) << "scopes give their memory back";
}

TEST(Workspace, GrowsOnlyBetweenSteps) {
  Workspace workspace;
  workspace.reserve(1024);
  EXPECT_EQ(workspace.capacity(), 1024u);
  workspace.allocate<float>(4);
  EXPECT_NO_THROW(workspace.reserve(512));
  EXPECT_THROW(workspace.reserve(4096), Error);
  workspace.reset();
  EXPECT_NO_THROW(workspace.reserve(4096));
  EXPECT_NE(workspace.allocate_bytes(0), nullptr);
}

}  // namespace
}  // namespace glmoe
