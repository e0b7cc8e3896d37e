#include "cache/prefix_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "glmoe/error.h"

namespace glmoe {
namespace {

// Few different low words: nearly everything collides, and holes must be closed.
TEST(PrefixIndex, FindsExactlyWhatIsInItUnderRandomUse) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    PrefixIndex index(64);
    std::map<std::pair<uint64_t, uint64_t>, int32_t> model;
    for (int step = 0; step < 3000; ++step) {
      const PrefixHash hash{.low = 120 + random() % 12, .high = random() % 12};
      const auto found = model.find({hash.low, hash.high});
      ASSERT_EQ(index.find(hash), found == model.end() ? -1 : found->second);
      if (found != model.end() && random() % 2 == 0) {
        index.erase(hash);
        model.erase(found);
      } else if (found == model.end() && model.size() < 64) {
        index.insert(hash, step);
        model[{hash.low, hash.high}] = step;
      }
      ASSERT_EQ(index.size(), static_cast<int64_t>(model.size()));
    }
    for (const auto& [key, block] : model) {
      ASSERT_EQ(index.find({.low = key.first, .high = key.second}), block);
    }
  }
}

TEST(PrefixIndex, RefusesASecondEntryAndAnUnknownOne) {
  PrefixIndex index(4);
  index.insert({.low = 1, .high = 1}, 3);
  EXPECT_THROW(index.insert({.low = 1, .high = 1}, 2), Error);
  EXPECT_THROW(index.erase({.low = 2, .high = 1}), Error);
}

}  // namespace
}  // namespace glmoe
