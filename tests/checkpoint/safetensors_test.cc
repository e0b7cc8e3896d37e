#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>

#include "glmoe/error.h"
#include "support/safetensors_bytes.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {
using ::testing::HasSubstr;
using testing::TempFolder;

std::string refusal(const std::string& path, ErrorCode code) {
  try {
    SafetensorsFile file(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(path));
    return error.what();
  }
  return "accepted";
}

TEST(SafetensorsFile, ReadsWhatIsThere) {
  TempFolder folder;
  const SafetensorsFile file(folder.write("a.safetensors", testing::one_tensor("w")));
  const HostTensor& tensor = file.tensor("w");
  EXPECT_EQ(tensor.shape, Shape({2}));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(tensor.bytes.data()), 8), "abcdefgh");
  file.release(tensor);
  EXPECT_EQ(static_cast<char>(tensor.bytes[7]), 'h');
  EXPECT_THROW(file.tensor("v"), Error);
}

TEST(SafetensorsFile, RefusesAFileCutAtAnyLength) {
  TempFolder folder;
  const std::string whole = testing::one_tensor("w");
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::string path = folder.write("a.safetensors", whole.substr(0, length));
    EXPECT_NE(refusal(path, ErrorCode::kCorrupt), "accepted") << length;
  }
  EXPECT_NE(refusal(folder.write("a.safetensors", whole + "x"), ErrorCode::kCorrupt), "accepted");
}

TEST(SafetensorsFile, RefusesHeaderLengthsBeyondTheFileOrTheFormat) {
  TempFolder folder;
  EXPECT_THAT(refusal(folder.write("a", testing::length_prefix(3) + "{}"), ErrorCode::kCorrupt),
              HasSubstr("truncated"));
  EXPECT_THAT(
      refusal(folder.write("b", testing::length_prefix(100'000'001) + "{}"), ErrorCode::kCorrupt),
      HasSubstr("100000000"));
  EXPECT_NE(
      refusal(folder.write("c", testing::length_prefix(UINT64_MAX) + "{}"), ErrorCode::kCorrupt),
      "accepted");
  EXPECT_NE(refusal(folder.file("missing"), ErrorCode::kNotFound), "accepted");
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kIo), HasSubstr("folder"));
}

}  // namespace
}  // namespace glmoe
