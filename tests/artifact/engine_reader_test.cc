#include "artifact/engine_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "artifact/engine_writer.h"
#include "base/error.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::first_difference;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

class EngineFolder : public ::testing::Test {
 protected:
  void write(int64_t tp = 1, DType dtype = DType::kBF16) {
    source_ = synthetic_source(small_config(), DType::kBF16);
    source_.folder = folder_.path();
    folder_.write("tokenizer.json", "{\"model\": 1}");
    EngineWriteOptions options;
    options.output_dir = engine();
    options.mapping.tp_size = tp;
    options.mapping = options.mapping.resolved();
    options.dtype = dtype;
    write_engine(source_, options, team_);
  }
  std::string engine() const { return folder_.file("engine"); }
  std::string rank_file() const { return engine() + "/rank-00.bin"; }
  std::string open_error() const {
    return error_of([&] { ArtifactReader reader(engine()); });
  }
  void edit_manifest(const std::function<void(Json&)>& change) const {
    Json manifest = read_json_file(engine() + "/manifest.json");
    change(manifest);
    write_text_file_atomically(engine() + "/manifest.json", manifest.dump());
  }
  static Json& blob(Json& manifest, size_t i) { return manifest["ranks"][0]["blobs"][i]; }

  TempFolder folder_;
  ThreadTeam team_{2};
  TensorSource source_;
};

TEST_F(EngineFolder, HoldsWhatWasWrittenAndIsAlignedInTheFile) {
  write();
  const ArtifactReader reader(engine());
  reader.verify_blobs(team_);
  const BlobSet direct = load_to_memory(source_, DType::kBF16, team_);
  EXPECT_EQ(first_difference(direct.tensors, reader.mapped_blobs().tensors), "");
  EXPECT_EQ(reader.config(), small_config());
  EXPECT_EQ(reader.manifest().source_fingerprint, "synthetic-1");
  for (const auto& [name, view] : reader.mapped_blobs().tensors) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % kEngineBlobAlignment, 0u) << name;
  }
  EXPECT_TRUE(fs::exists(engine() + "/tokenizer.json"));
}

TEST_F(EngineFolder, RanksAreStitchedInEveryType) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    write(4, dtype);
    const ArtifactReader reader(engine());
    reader.verify_blobs(team_);
    EXPECT_EQ(first_difference(load_to_memory(source_, dtype, team_).tensors,
                               load_to_memory(reader.source(), dtype, team_).tensors),
              "");
  }
}

TEST_F(EngineFolder, AFlippedBitIsFoundInItsBlob) {
  write();
  const EngineManifest manifest = read_manifest(engine());
  const EngineBlob& blob = manifest.ranks[0].blobs[5];
  const std::string content = read_text_file(rank_file());
  const char flipped = static_cast<char>(content[blob.offset + 3] ^ 0x10);
  {
    OutputFile file(rank_file(), OutputFile::Mode::kOpenExisting);
    file.write_at(blob.offset + 3, std::as_bytes(std::span(&flipped, 1)));
  }
  const ArtifactReader reader(engine());
  const auto message = error_of([&] { reader.verify_blobs(team_); });
  EXPECT_THAT(message, AllOf(HasSubstr("rank-00.bin"), HasSubstr(blob.name)));
  EXPECT_THAT(message, ::testing::Not(HasSubstr(manifest.ranks[0].blobs[6].name)));
}

TEST_F(EngineFolder, AChangedManifestIsFoundWhereEveryFieldIsPossible) {
  write();
  edit_manifest([](Json& manifest) { manifest["model"]["rope_theta"] = 20000.0; });
  const ArtifactReader reader(engine());
  EXPECT_THAT(error_of([&] { reader.verify_blobs(team_); }), HasSubstr("manifest.json: checksum"));
}

TEST_F(EngineFolder, AChangedTokenizerIsFound) {
  write();
  folder_.write("engine/tokenizer.json", "{\"model\": 2}");
  const ArtifactReader reader(engine());
  EXPECT_THAT(error_of([&] { reader.verify_blobs(team_); }), HasSubstr("tokenizer.json"));
}

TEST_F(EngineFolder, AnotherFormatVersionIsRefusedWithBothNumbers) {
  write();
  edit_manifest([](Json& manifest) { manifest["format_version"] = 7; });
  EXPECT_THAT(open_error(), AllOf(HasSubstr("format 7"), HasSubstr("reads format 1"),
                                  HasSubstr("build the engine again")));
}

TEST_F(EngineFolder, TruncatedAndMissingFilesAreNamedTogether) {
  write(2);
  fs::resize_file(rank_file(), fs::file_size(rank_file()) - 1);
  fs::remove(engine() + "/rank-01.bin");
  fs::remove(engine() + "/tokenizer.json");
  EXPECT_THAT(open_error(), AllOf(HasSubstr("rank-00.bin"), HasSubstr("rank-01.bin"),
                                  HasSubstr("tokenizer.json")));
}

TEST_F(EngineFolder, AManifestThatLiesIsRefusedWithAllReasons) {
  write();
  edit_manifest([](Json& manifest) {
    blob(manifest, 0)["offset"] = int64_t{4096} << 40;
    blob(manifest, 1)["offset"] = 4097;
    blob(manifest, 2)["size"] = 1;
    blob(manifest, 3)["shape"] = {int64_t{1} << 40, int64_t{1} << 40};
    blob(manifest, 4)["offset"] = -4096;
    blob(manifest, 5)["dtype"] = "F13";
    blob(manifest, 7)["offset"] = blob(manifest, 6)["offset"];
    manifest["ranks"][0]["file"] = "../elsewhere.bin";
  });
  EXPECT_THAT(open_error(), HasSubstr("plain file name"));
  edit_manifest([](Json& manifest) { manifest["ranks"][0]["file"] = "rank-00.bin"; });
  EXPECT_THAT(open_error(),
              AllOf(HasSubstr("beyond the file"), HasSubstr("multiple of 4096"),
                    HasSubstr("size says 1"), HasSubstr("is not one"), HasSubstr("is negative"),
                    HasSubstr("F13"), HasSubstr("overlap")));
}

TEST_F(EngineFolder, BlobsThatThePlanWantsOrDoesNotKnowAreNamed) {
  write();
  edit_manifest([](Json& manifest) { blob(manifest, 2)["name"] = "transformer.nonsense"; });
  EXPECT_THAT(open_error(), AllOf(HasSubstr("is missing"), HasSubstr("transformer.nonsense")));
}

TEST_F(EngineFolder, UnknownFieldsArePassedOver) {
  write();
  edit_manifest([](Json& manifest) {
    manifest["future"] = {1, 2, 3};
    blob(manifest, 0)["note"] = "new";
  });
  EXPECT_EQ(open_error(), "");
}

TEST_F(EngineFolder, AFileThatShrinksInUseIsAnErrorAndNotTheEnd) {
  write();
  const ArtifactReader reader(engine());
  fs::resize_file(rank_file(), 0);
  EXPECT_THAT(error_of([&] { reader.verify_blobs(team_); }), HasSubstr("shrank"));
  EXPECT_THAT(error_of([&] { load_to_memory(reader.source(), DType::kBF16, team_); }),
              HasSubstr("shrank"));
}

TEST_F(EngineFolder, AFailedBuildLeavesTheOldEngine) {
  write();
  EngineWriteOptions options;
  options.output_dir = engine();
  options.mapping = Mapping{}.resolved();
  const TensorSource other = synthetic_source(small_config(), DType::kBF16, 2);
  EXPECT_ANY_THROW(write_engine(other, options, team_, [](uint64_t, uint64_t, const std::string&) {
    throw std::runtime_error("stop");
  }));
  EXPECT_EQ(ArtifactReader(engine()).manifest().source_fingerprint, "synthetic-1");
  EXPECT_FALSE(fs::exists(engine() + ".partial"));
}

}  // namespace
}  // namespace glmoe
