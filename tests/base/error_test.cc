#include "base/error.h"

#include <gtest/gtest.h>

namespace glmoe {
namespace {

template <class F>
Error thrown_by(F&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "nothing was thrown");
}

TEST(Error, ReasonsStandOnOneLineEightInFull) {
  std::vector<std::string> reasons;
  EXPECT_EQ(join_reasons(reasons), "");
  for (const char* reason : {"1", "2", "3", "4", "5", "6", "7", "8"}) reasons.emplace_back(reason);
  EXPECT_EQ(join_reasons(reasons), "1; 2; 3; 4; 5; 6; 7; 8");
  reasons.emplace_back("9");
  reasons.emplace_back("10");
  EXPECT_EQ(join_reasons(reasons, ", "), "1, 2, 3, 4, 5, 6, 7, 8, and 2 more");
}

TEST(Error, ReasonsAreThrownOnlyWhereThereAreAny) {
  fail_with_reasons(ErrorCode::kCorrupt, "a folder", {});
  const Error error = thrown_by([] {
    fail_with_reasons(ErrorCode::kCorrupt, "a folder", {"no a", "no b"});
  });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_STREQ(error.what(), "a folder: no a; no b");
}

TEST(Error, AWrongValueFromAFileMakesTheFileCorrupt) {
  const Error value =
      thrown_by([] { check_from_file("a.json", [] { fail_argument("{} is too large", 7); }); });
  EXPECT_EQ(value.code(), ErrorCode::kCorrupt);
  EXPECT_STREQ(value.what(), "a.json: 7 is too large");
  const Error other = thrown_by(
      [] { check_from_file("a.json", [] { fail(ErrorCode::kUnsupported, "not yet"); }); });
  EXPECT_EQ(other.code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace glmoe
