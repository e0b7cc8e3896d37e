#include "checkpoint/hf_folder.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/file.h"
#include "glmoe/error.h"
#include "support/safetensors_bytes.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::one_tensor;
using testing::TempFolder;

std::string refusal(const std::string& path, ErrorCode code) {
  try {
    HfFolder folder(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "accepted";
}

struct Checkpoint : TempFolder {
  Checkpoint() { write("config.json", read_text_file(GLMOE_MODELS "/glm4-moe-demo/config.json")); }
  void index(const std::string& weight_map) {
    write("model.safetensors.index.json", "{\"weight_map\":" + weight_map + "}");
  }
};

TEST(HfFolder, LoadsDemoAndGoldens) {
  const HfFolder demo(GLMOE_MODELS "/glm4-moe-demo");
  EXPECT_EQ(demo.tensor("model.embed_tokens.weight").shape, Shape({8192, 256}));
  EXPECT_TRUE(demo.has("model.layers.6.eh_proj.weight"));
  EXPECT_EQ(demo.generation().do_sample, true);
  for (const char* name : {"air", "large", "grouped", "nonorm", "tied", "fullrope"}) {
    const HfFolder golden(std::string(GLMOE_TEST_DATA "/goldens/") + name);
    EXPECT_EQ(golden.tensor("model.norm.weight").shape, Shape({64})) << name;
    EXPECT_FALSE(golden.has("logits")) << name;
  }
}

TEST(HfFolder, TellsMissingFoldersFilesAndEmptyOnesApart) {
  TempFolder folder;
  EXPECT_THAT(refusal(folder.file("no"), ErrorCode::kNotFound), HasSubstr("does not exist"));
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kNotFound), HasSubstr("empty"));
  const std::string file = folder.write("m.safetensors", one_tensor("w"));
  EXPECT_THAT(refusal(file, ErrorCode::kInvalidArgument), HasSubstr("is a file"));
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kNotFound), HasSubstr("config.json"));
}

TEST(HfFolder, RefusesPyTorchWeightsAndFoldersWithoutAny) {
  Checkpoint folder;
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kNotFound), HasSubstr(".safetensors"));
  folder.write("pytorch_model.bin", "x");
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kUnsupported),
              AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("safetensors")));
}

TEST(HfFolder, CarriesFilesOutsideTheIndex) {
  Checkpoint folder;
  folder.write("model-1.safetensors", one_tensor("a"));
  folder.write("mtp.safetensors", one_tensor("m"));
  folder.index(R"({"a":"model-1.safetensors"})");
  const HfFolder checkpoint(folder.path());
  EXPECT_THAT(checkpoint.names(), ::testing::ElementsAre("a", "m"));
  EXPECT_THAT(checkpoint.file_of("m"), HasSubstr("mtp.safetensors"));
}

TEST(HfFolder, NamesBothSidesWhenIndexAndFilesDisagree) {
  Checkpoint folder;
  folder.write("model-1.safetensors", one_tensor("a"));
  folder.index(R"({"b":"model-1.safetensors"})");
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kCorrupt),
              AllOf(HasSubstr("'b'"), HasSubstr("model-1.safetensors")));
  folder.index(R"({"a":"model-2.safetensors"})");
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kNotFound),
              AllOf(HasSubstr("'a'"), HasSubstr("model-2.safetensors")));
}

TEST(HfFolder, RefusesATensorInTwoFiles) {
  Checkpoint folder;
  folder.write("model-1.safetensors", one_tensor("a"));
  folder.write("model-2.safetensors", one_tensor("a"));
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kCorrupt),
              AllOf(HasSubstr("'a'"), HasSubstr("model-1"), HasSubstr("model-2")));
}

TEST(HfFolder, RefusesPathsInTheIndex) {
  for (const char* name :
       {"../x.safetensors", "/x.safetensors", "a\\\\x.safetensors", "..", "", "x.bin"}) {
    Checkpoint folder;
    folder.write("model.safetensors", one_tensor("a"));
    folder.index(std::string(R"({"a":")") + name + "\"}");
    EXPECT_THAT(refusal(folder.path(), ErrorCode::kCorrupt), HasSubstr("plain name")) << name;
  }
}

TEST(HfFolder, FollowsLinksIntoTheCacheAndNoOthers) {
  TempFolder root;
  fs::create_directories(root.file("snapshots/rev"));
  fs::create_directories(root.file("blobs"));
  root.write("blobs/c", read_text_file(GLMOE_MODELS "/glm4-moe-demo/config.json"));
  root.write("blobs/w", one_tensor("a"));
  fs::create_symlink("../../blobs/c", root.file("snapshots/rev/config.json"));
  fs::create_symlink("../../blobs/w", root.file("snapshots/rev/model.safetensors"));
  EXPECT_TRUE(HfFolder(root.file("snapshots/rev")).has("a"));

  Checkpoint folder;
  fs::create_symlink(root.file("blobs/w"), folder.file("model.safetensors"));
  EXPECT_THAT(refusal(folder.path(), ErrorCode::kCorrupt), HasSubstr("symbolic link"));
}

TEST(HfFolder, MissingTensorIsNamed) {
  Checkpoint folder;
  folder.write("model.safetensors", one_tensor("a"));
  const HfFolder checkpoint(folder.path());
  EXPECT_EQ(checkpoint.find("b"), nullptr);
  EXPECT_THROW(checkpoint.tensor("b"), Error);
}

TEST(HfFolder, FingerprintFollowsTheContentsShape) {
  Checkpoint folder;
  folder.write("model.safetensors", one_tensor("a"));
  const std::string first = HfFolder(folder.path()).fingerprint();
  EXPECT_EQ(HfFolder(folder.path()).fingerprint(), first);
  folder.write("model.safetensors", one_tensor("b"));
  EXPECT_NE(HfFolder(folder.path()).fingerprint(), first);
}

}  // namespace
}  // namespace glmoe
