#include "cache/prefix_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>

namespace glmoe {
namespace {

// The first two test vectors of the function's authors: key 00..0f, texts of zero and one byte.
TEST(PrefixHash, IsSipHash128) {
  const PrefixHash key{.low = 0x0706050403020100ull, .high = 0x0f0e0d0c0b0a0908ull};
  const PrefixHash empty = siphash128(key, {});
  EXPECT_EQ(empty.low, 0xe6a825ba047f81a3ull);
  EXPECT_EQ(empty.high, 0x930255c71472f66dull);
  const std::array<uint8_t, 1> zero = {0};
  const PrefixHash one = siphash128(key, zero);
  EXPECT_EQ(one.low, 0x44af996bd8c187daull);
  EXPECT_EQ(one.high, 0x45fc229b11597634ull);
}

TEST(PrefixHash, DependsOnKeySaltParentAndTokens) {
  const PrefixHasher hasher({.low = 1, .high = 2}), other({.low = 1, .high = 3});
  const std::array<int32_t, 3> tokens = {5, 6, 7}, changed = {5, 6, 8};
  const PrefixHash root = hasher.root("");
  EXPECT_NE(root, hasher.root("salt"));
  EXPECT_NE(root, other.root(""));
  EXPECT_EQ(hasher.extend(root, tokens), hasher.extend(root, tokens));
  EXPECT_NE(hasher.extend(root, tokens), hasher.extend(root, changed));
  EXPECT_NE(hasher.extend(root, tokens), hasher.extend(hasher.root("salt"), tokens));
  EXPECT_NE(hasher.extend(root, tokens), hasher.extend(hasher.extend(root, tokens), tokens));
}

TEST(PrefixHash, KeysDifferFromOneHasherToTheNext) {
  EXPECT_NE(PrefixHasher().root("x"), PrefixHasher().root("x"));
}

}  // namespace
}  // namespace glmoe
