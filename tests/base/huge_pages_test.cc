#include "base/huge_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace glmoe {
namespace {

template <class T>
using Table = std::vector<T, HugePageAllocator<T>>;

TEST(HugePageAllocator, ServesTablesOfEverySize) {
  for (const size_t count :
       {size_t{1}, size_t{1000}, (size_t{1} << 20) - 1, size_t{1} << 20, (size_t{3} << 20) + 5}) {
    Table<int32_t> table(count);
    std::iota(table.begin(), table.end(), 0);
    Table<int32_t> copy = table;
    table.push_back(7);
    EXPECT_EQ(table[count - 1], static_cast<int32_t>(count - 1));
    EXPECT_EQ(copy.size(), count);
    copy = std::move(table);
    EXPECT_EQ(copy.back(), 7);
  }
}

TEST(HugePageAllocator, ALargeTableBeginsWithAPage) {
  const Table<int64_t> table(size_t{1} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(table.data()) % HugePageAllocator<int64_t>::kPageBytes, 0u);
}

}  // namespace
}  // namespace glmoe
