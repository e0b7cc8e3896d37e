#include "artifact/engine_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "artifact/checksum.h"
#include "artifact/engine_reader.h"
#include "base/file.h"
#include "glmoe/error.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::small_config;
using glmoe::testing::synthetic_source;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

class EngineWriter : public ::testing::Test {
 protected:
  EngineWriter() {
    fs::create_directories(folder_.file("source"));
    folder_.write("source/tokenizer.json", "{}");
    source_.folder = folder_.file("source");
    options_.output_dir = folder_.file("engine");
    options_.mapping.tp_size = 2;
    options_.mapping = options_.mapping.resolved();
  }
  void write(int num_threads = 2) {
    ThreadTeam team(num_threads);
    write_engine(source_, options_, team);
  }
  std::string content(const std::string& name) const {
    return read_text_file(options_.output_dir + "/" + name);
  }

  TempFolder folder_;
  // An embedding of 160 KB, so that the least memory takes it in three pieces.
  static Glm4MoeConfig tall_config() {
    Glm4MoeConfig config = small_config();
    config.vocab_size = 5001;
    return config;
  }
  TensorSource source_ = synthetic_source(tall_config(), DType::kBF16);
  EngineWriteOptions options_;
};

TEST_F(EngineWriter, TheManifestDescribesTheFilesToTheByte) {
  options_.recipe = {{"target", "cpu"}, {"note", "x"}};
  write();
  const EngineManifest manifest = read_manifest(options_.output_dir);
  EXPECT_EQ(manifest.recipe, options_.recipe);
  EXPECT_EQ(manifest.mapping, options_.mapping);
  EXPECT_EQ(manifest.config.dtype, "bfloat16");
  ASSERT_EQ(manifest.files.size(), 1u);
  EXPECT_EQ(manifest.files[0].name, "tokenizer.json");
  ASSERT_EQ(manifest.ranks.size(), 2u);
  for (const EngineRank& rank : manifest.ranks) {
    const std::string bytes = content(rank.file);
    ASSERT_EQ(bytes.size(), rank.size);
    uint64_t end = 0;
    for (const EngineBlob& blob : rank.blobs) {
      for (; end < blob.offset; ++end) EXPECT_EQ(bytes[end], '\0') << "between blobs";
      const std::span<const char> part(bytes.data() + blob.offset, blob.size);
      EXPECT_EQ(checksum_hex(std::as_bytes(part)), blob.checksum) << blob.name;
      end = blob.offset + blob.size;
    }
    EXPECT_EQ(end, rank.size);
  }
}

// Two builds of one model must be the same file: engines are compared and copied by checksum.
TEST_F(EngineWriter, TheSameModelGivesTheSameFilesWhateverThreadsAndMemory) {
  write(1);
  const std::string manifest = content("manifest.json"), rank = content("rank-01.bin");
  write(2);
  EXPECT_EQ(content("manifest.json"), manifest);
  EXPECT_EQ(content("rank-01.bin"), rank);
  options_.max_host_memory = uint64_t{6} << 16;  // the least for two threads: pieces of 64 KiB
  write(2);
  EXPECT_EQ(content("manifest.json"), manifest);
  EXPECT_EQ(content("rank-01.bin"), rank);
}

TEST_F(EngineWriter, WhatTheModelDoesNotAllowIsRefusedBeforeAnythingIsWritten) {
  options_.mapping = Mapping{.tp_size = 3}.resolved();  // of 8 heads
  EXPECT_THAT(error_of([&] { write(); }), HasSubstr("tensor_parallel_size 3"));
  EXPECT_FALSE(fs::exists(options_.output_dir));
  EXPECT_FALSE(fs::exists(options_.output_dir + ".partial"));
}

TEST_F(EngineWriter, AFailureOnTheWayLeavesNothingBehind) {
  options_.max_host_memory = 1000;
  EXPECT_THAT(error_of([&] { write(); }), HasSubstr("--max_host_memory"));
  EXPECT_FALSE(fs::exists(options_.output_dir));
  EXPECT_FALSE(fs::exists(options_.output_dir + ".partial"));

  options_.max_host_memory = 0;
  options_.dtype = DType::kF16;
  const float too_large = 1e30f;
  auto& head = source_.pieces.back().front();  // the last tensor of the plan, in bfloat16
  const uint16_t bits = f32_to_bf16(too_large);
  std::memcpy(const_cast<std::byte*>(head.data), &bits, 2);
  EXPECT_THAT(error_of([&] { write(); }),
              AllOf(HasSubstr(source_.plan.tensors.back().name), HasSubstr("float16")));
  EXPECT_FALSE(fs::exists(options_.output_dir));
  EXPECT_FALSE(fs::exists(options_.output_dir + ".partial"));
}

}  // namespace
}  // namespace glmoe
