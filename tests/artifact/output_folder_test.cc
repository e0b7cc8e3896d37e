#include "artifact/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

std::string error(const std::string& output, const std::string& source) {
  return error_of([&] { OutputFolder folder(output, source, ModelFolderKind::kEngine); });
}

TEST(OutputFolder, TheSourceAndItsParentsAreRefused) {
  TempFolder folder;
  fs::create_directories(folder.file("a/model"));
  EXPECT_THAT(error(folder.file("a/model"), folder.file("a/model")), HasSubstr("read from"));
  EXPECT_THAT(error(folder.file("a/../a/model/"), folder.file("a/model")), HasSubstr("read from"));
  EXPECT_THAT(error(folder.file("a"), folder.file("a/model")), HasSubstr("read from"));
  EXPECT_EQ(error(folder.file("a/model2"), folder.file("a/model")), "");
  EXPECT_EQ(error(folder.file("a/model/engine"), folder.file("a/model")), "");
}

TEST(OutputFolder, OtherKindsAndForeignFilesAreRefused) {
  TempFolder folder;
  fs::create_directories(folder.file("out"));
  folder.write("out/config.json", "{\"mapping\": {}, \"source\": {}}");
  EXPECT_THAT(error(folder.file("out"), "/x"), HasSubstr("converted folder"));
  folder.write("out/manifest.json", "{}");
  EXPECT_EQ(error(folder.file("out"), "/x"), "");
  folder.write("out/rank-x.bin", "");
  EXPECT_THAT(error(folder.file("out"), "/x"), HasSubstr("rank-x.bin"));
}

TEST(OutputFolder, PublishesInThePlaceOfTheOldThroughASymbolicLink) {
  TempFolder folder;
  fs::create_directories(folder.file("real"));
  folder.write("real/manifest.json", "old");
  fs::create_directory_symlink(folder.file("real"), folder.file("link"));
  OutputFolder output(folder.file("link"), "/x", ModelFolderKind::kEngine);
  EXPECT_FALSE(output.open_staging());
  folder.write("real.partial/manifest.json", "new");
  output.publish();
  EXPECT_EQ(read_text_file(folder.file("real/manifest.json")), "new");
  EXPECT_TRUE(fs::is_symlink(folder.file("link")));
  EXPECT_FALSE(fs::exists(folder.file("real.partial")));
}

TEST(OutputFolder, AStagingFolderWithForeignFilesIsLeftAlone) {
  TempFolder folder;
  fs::create_directories(folder.file("out.partial"));
  folder.write("out.partial/notes.txt", "mine");
  OutputFolder output(folder.file("out"), "/x", ModelFolderKind::kEngine);
  EXPECT_THAT(error_of([&] { output.open_staging(); }), HasSubstr("notes.txt"));
  EXPECT_FALSE(output.owns_staging());
}

}  // namespace
}  // namespace glmoe
