#include "serve/http/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "support/temp_folder.h"

namespace glmoe::serve {
namespace {

TEST(ApiKeys, FindAWholeKeyOnly) {
  ApiKeys keys;
  keys.add("first-key", "test");
  keys.add("second-key", "test");
  EXPECT_FALSE(keys.find("first-key").empty());
  EXPECT_FALSE(keys.find("second-key").empty());
  EXPECT_NE(keys.find("first-key"), keys.find("second-key"));
  for (const char* wrong : {"", "first-ke", "first-keyy", "First-key", "first-key "}) {
    EXPECT_TRUE(keys.find(wrong).empty()) << wrong;
  }
}

TEST(ApiKeys, RefuseKeysThatNoHeaderCanHoldAndDoNotShowThem) {
  ApiKeys keys;
  for (const std::string& bad : {std::string(), std::string("with space"), std::string("new\nline"),
                                 std::string("\xc3\xa4"), std::string(4097, 'k')}) {
    try {
      keys.add(bad, "--api_key");
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), ::testing::StartsWith("--api_key"));
      if (!bad.empty()) {
        EXPECT_THAT(error.what(), ::testing::Not(::testing::HasSubstr(bad)));
      }
    }
  }
}

TEST(ApiKeys, ReadAFileOfThem) {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/keys";
  std::ofstream(path) << "# for the gateway\none\r\n\ntwo\n";
  ApiKeys keys;
  keys.add_file(path);
  EXPECT_EQ(keys.size(), 2u);
  EXPECT_FALSE(keys.find("one").empty());
  EXPECT_FALSE(keys.find("two").empty());
  std::ofstream(path) << "# none\n";
  EXPECT_THROW(keys.add_file(path), Error);
  EXPECT_THROW(keys.add_file(folder.path() + "/none"), Error);
}

TEST(ApiKeys, AreReadFromEitherHeader) {
  const auto with = [](const char* name, const char* value) {
    HttpRequest request;
    request.headers = {{name, value}};
    return std::string(key_of(request));
  };
  EXPECT_EQ(with("authorization", "Bearer abc"), "abc");
  EXPECT_EQ(with("authorization", "bearer  abc"), "abc");
  EXPECT_EQ(with("authorization", "Basic abc"), "");
  EXPECT_EQ(with("x-api-key", "abc"), "abc");
  EXPECT_EQ(with("other", "abc"), "");
}

}  // namespace
}  // namespace glmoe::serve
