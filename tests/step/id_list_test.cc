#include "step/id_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "glmoe/error.h"

namespace glmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> counted(size_t count, int32_t first = 0) {
  std::vector<int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(IdList, HoldsTwoWithoutMemoryAndAnyNumberWithIt) {
  for (size_t count = 0; count < 70; ++count) {
    IdList list;
    for (const int32_t id : counted(count, 5)) {
      list.push_back(id);
      EXPECT_EQ(list.back(), id);
    }
    EXPECT_EQ(list, counted(count, 5));
    const auto* self = reinterpret_cast<const int32_t*>(&list);
    EXPECT_EQ(list.data() >= self && list.data() < self + 4, count <= 2) << count;
    EXPECT_EQ(list.empty(), count == 0);
    EXPECT_THROW(list.at(count), Error);
  }
}

// The same calls on a vector, in every order.
TEST(IdList, DoesWhatAVectorDoes) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    IdList list;
    std::vector<int32_t> model;
    for (int step = 0; step < 400; ++step) {
      const std::vector<int32_t> ids = counted(random() % 6, static_cast<int32_t>(random() % 100));
      switch (random() % 8) {
        case 0:
          list.clear();
          model.clear();
          break;
        case 1:
          list.append(ids);
          model.insert(model.end(), ids.begin(), ids.end());
          break;
        case 2:
          list.assign(ids);
          model = ids;
          break;
        case 3:
          list.assign_one(step);
          model = {step};
          break;
        case 4:
          list.resize(ids.size());
          model.resize(ids.size());
          break;
        case 5: list.reserve(random() % 10); break;
        default: list.push_back(step); model.push_back(step);
      }
      ASSERT_EQ(list, model) << "seed " << seed << ", step " << step;
      ASSERT_EQ(list.size(), model.size());
      ASSERT_GE(list.capacity(), list.size());
    }
  }
}

TEST(IdList, IsAValue) {
  for (const size_t count : {0, 1, 2, 3, 40}) {
    const IdList first = counted(count);
    IdList copy = first;
    copy.push_back(7);
    EXPECT_EQ(first, counted(count)) << "a copy has memory of its own";
    copy = first;
    const IdList& same = copy;
    copy = same;
    EXPECT_EQ(copy, first);
    IdList moved = std::move(copy);
    EXPECT_EQ(moved, first);
    IdList other = {9, 8, 7};
    other = std::move(moved);
    EXPECT_EQ(other, first);
    EXPECT_NE(other, (IdList{9}));
  }
}

TEST(IdList, KeepsItsMemoryUnlessItGoesBackToOne) {
  IdList list = counted(100);
  const int32_t* memory = list.data();
  list.clear();
  EXPECT_THAT(list, IsEmpty());
  list.append(counted(100));
  EXPECT_EQ(list.data(), memory);
  list.assign_one(4);
  EXPECT_THAT(list, ElementsAre(4));
  EXPECT_EQ(list.capacity(), 2u);
}

}  // namespace
}  // namespace glmoe
