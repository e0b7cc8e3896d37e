#include "artifact/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::error_of;
using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

TEST(ModelFolder, KindsAreToldApartByTheirFiles) {
  TempFolder folder;
  folder.write("config.json", "{\"model_type\": \"glm4_moe\"}");
  EXPECT_EQ(detect_model_folder(folder.path()), ModelFolderKind::kHuggingFace);
  folder.write("config.json", "{\"mapping\": {}, \"source\": {}}");
  EXPECT_EQ(detect_model_folder(folder.path()), ModelFolderKind::kConverted);
  folder.write("manifest.json", "{}");
  EXPECT_EQ(detect_model_folder(folder.path()), ModelFolderKind::kEngine);
}

TEST(ModelFolder, WhatIsNoModelFolderIsRefusedWithTheReason) {
  TempFolder folder;
  const auto error = [](const std::string& path) {
    return error_of([&] { detect_model_folder(path); });
  };
  EXPECT_THAT(error(folder.file("absent")), HasSubstr("no such folder"));
  EXPECT_THAT(error(folder.write("file", "x")), HasSubstr("found a file"));
  EXPECT_THAT(error(folder.path()), HasSubstr("neither config.json"));
  std::filesystem::create_directory(folder.file("empty"));
  EXPECT_THAT(error(folder.file("empty")), HasSubstr("is empty"));
}

}  // namespace
}  // namespace glmoe
