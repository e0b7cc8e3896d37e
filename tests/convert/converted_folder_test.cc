#include "convert/converted_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "convert/convert_checkpoint.h"
#include "glmoe/error.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ConvertedFolder : public ::testing::Test {
 protected:
  ConvertedFolder() {
    ConvertOptions options;
    options.model_dir = GLMOE_TEST_DATA "/goldens/air";
    options.output_dir = path();
    options.mapping.tp_size = 2;
    options.workers = 2;
    convert_checkpoint(options);
  }
  std::string path() const { return folder_.file("out"); }
  void edit_config(const std::function<void(Json&)>& change) const {
    Json config = read_json_file(path() + "/config.json");
    change(config);
    folder_.write("out/config.json", config.dump());
  }
  std::string refusal() const {
    try {
      open_converted(path());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
      return error.what();
    }
    return {};
  }
  TempFolder folder_;
};

TEST_F(ConvertedFolder, KnowsWhereItsTensorsCameFrom) {
  const TensorSource source = open_converted(path());
  EXPECT_EQ(source.kind, "converted");
  EXPECT_EQ(source.folder, path());
  EXPECT_EQ(source.mapping.tp_size, 2);
  EXPECT_NE(source.fingerprint, "");
  // Through two steps the fingerprint stays that of the first source.
  ConvertOptions again;
  again.model_dir = path();
  again.output_dir = folder_.file("again");
  convert_checkpoint(again);
  EXPECT_EQ(open_converted(again.output_dir).fingerprint, source.fingerprint);
}

TEST_F(ConvertedFolder, PagesGivenBackAreReadAgain) {
  const TensorSource source = open_converted(path());
  for (const auto& pieces : source.pieces) {
    for (const SourcePiece& piece : pieces) {
      const std::byte before = piece.data[0];
      source.release(piece);
      EXPECT_EQ(piece.data[0], before);
    }
  }
}

TEST_F(ConvertedFolder, EveryRankFileThatCannotBeReadIsNamed) {
  fs::remove(path() + "/rank0.safetensors");
  fs::resize_file(path() + "/rank1.safetensors", 20);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("rank0.safetensors"), HasSubstr("rank1.safetensors")));
}

TEST_F(ConvertedFolder, OneRankAloneDoesNotPassForTheWholeModel) {
  edit_config([](Json& config) {
    config["mapping"]["tp_size"] = 1;
    config["mapping"]["world_size"] = 1;
    config["mapping"]["moe_tp_size"] = 1;
  });
  EXPECT_THAT(refusal(), AllOf(HasSubstr("attention.qkv.weight"), HasSubstr("was wanted")));
}

TEST_F(ConvertedFolder, AConfigThatContradictsTheTensorsIsRefused) {
  edit_config([](Json& config) { config["torch_dtype"] = config["dtype"] = "float32"; });
  EXPECT_THAT(refusal(), AllOf(HasSubstr("F32"), HasSubstr("was wanted, found BF16")));
}

TEST_F(ConvertedFolder, AMappingThatTheModelDoesNotAllowIsTheFilesFault) {
  edit_config([](Json& config) {
    config["mapping"] = {{"world_size", 3}, {"tp_size", 3}, {"pp_size", 1}};
  });
  EXPECT_THAT(refusal(), AllOf(HasSubstr("config.json"), HasSubstr("3")));
  edit_config([](Json& config) { config.erase("mapping"); });
  EXPECT_THAT(refusal(), AllOf(HasSubstr("config.json"), HasSubstr("mapping")));
}

}  // namespace
}  // namespace glmoe
