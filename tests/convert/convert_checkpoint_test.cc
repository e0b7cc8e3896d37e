#include "convert/convert_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "convert/build_engine.h"
#include "convert/compare.h"
#include "convert/load_checkpoint.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

namespace fs = std::filesystem;
using glmoe::testing::error_of;
using glmoe::testing::first_difference;
using glmoe::testing::TempFolder;
using ::testing::HasSubstr;

const std::string kDemo = GLMOE_MODELS "/glm4-moe-demo";
std::string golden(const std::string& name) { return GLMOE_TEST_DATA "/goldens/" + name; }

ConvertOptions options_for(const std::string& from, const std::string& to) {
  ConvertOptions options;
  options.model_dir = from;
  options.output_dir = to;
  options.workers = 2;
  return options;
}

BlobSet load(const std::string& path, std::optional<DType> dtype = {}) {
  ThreadTeam team(2);
  return load_checkpoint_to_blobs(path, dtype, team);
}

TEST(ConvertCheckpoint, EveryGoldenIsTheSameThroughAllPaths) {
  for (const char* name : {"air", "fullrope", "grouped", "large", "nonorm", "tied"}) {
    TempFolder folder;
    const BlobSet direct = load(golden(name));
    convert_checkpoint(options_for(golden(name), folder.file("converted")));
    EXPECT_EQ(first_difference(direct.tensors, load(folder.file("converted")).tensors), "") << name;
    BuildOptions build;
    build.model_dir = folder.file("converted");
    build.output_dir = folder.file("engine");
    build_engine(build);
    EXPECT_EQ(first_difference(direct.tensors, load(folder.file("engine")).tensors), "") << name;
    EXPECT_EQ(direct.config, load(folder.file("engine")).config) << name;
    ThreadTeam team(2);
    EXPECT_TRUE(compare_engine_with_source(folder.file("engine"), golden(name), team).equal());
  }
}

struct MappingCase {
  const char* name;
  int64_t tp, pp, ep;
};
class ConvertMappings : public ::testing::TestWithParam<MappingCase> {};

TEST_P(ConvertMappings, RanksStitchToWhatWasConverted) {
  TempFolder folder;
  ConvertOptions options = options_for(golden("grouped"), folder.file("converted"));
  options.mapping.tp_size = GetParam().tp;
  options.mapping.pp_size = GetParam().pp;
  options.mapping.ep_size = GetParam().ep;
  const ConvertReport report = convert_checkpoint(options);
  EXPECT_EQ(report.num_ranks, GetParam().tp * GetParam().pp);
  const BlobSet direct = load(golden("grouped"));
  EXPECT_EQ(first_difference(direct.tensors, load(folder.file("converted")).tensors), "");
  BuildOptions build;
  build.model_dir = folder.file("converted");
  build.output_dir = folder.file("engine");
  EXPECT_EQ(build_engine(build).num_ranks, report.num_ranks);
  EXPECT_EQ(first_difference(direct.tensors, load(folder.file("engine")).tensors), "");
  build.mapping = Mapping{};
  build.output_dir = folder.file("engine1");
  EXPECT_EQ(build_engine(build).num_ranks, 1);
  EXPECT_EQ(first_difference(direct.tensors, load(folder.file("engine1")).tensors), "");
}
INSTANTIATE_TEST_SUITE_P(Mappings, ConvertMappings,
                         ::testing::Values(MappingCase{"Tp2", 2, 1, 1}, MappingCase{"Tp4", 4, 1, 1},
                                           MappingCase{"Pp3", 1, 3, 1},
                                           MappingCase{"Tp4Ep2", 4, 1, 2},
                                           MappingCase{"Tp2Pp2Ep2", 2, 2, 2}),
                         [](const auto& test) { return test.param.name; });

TEST(ConvertCheckpoint, TheDemoKeepsItsMtpLayerAndItsCompanionFiles) {
  TempFolder folder;
  convert_checkpoint(options_for(kDemo, folder.file("out")));
  const BlobSet converted = load(folder.file("out"));
  EXPECT_EQ(converted.config.num_nextn_predict_layers, 1);
  EXPECT_EQ(converted.tensors.count("transformer.mtp.0.eh_proj.weight"), 1u);
  EXPECT_TRUE(fs::exists(folder.file("out/tokenizer.json")));
  EXPECT_TRUE(fs::exists(folder.file("out/chat_template.jinja")));
  EXPECT_FALSE(fs::exists(folder.file("out/journal")));
  EXPECT_FALSE(fs::exists(folder.file("out.partial")));
}

TEST(ConvertCheckpoint, DtypeIsForMatricesAlone) {
  TempFolder folder;
  ConvertOptions options = options_for(golden("air"), folder.file("out"));
  options.dtype = DType::kF32;
  convert_checkpoint(options);
  const BlobSet wide = load(folder.file("out"));
  EXPECT_EQ(wide.dtype, DType::kF32);
  EXPECT_EQ(first_difference(wide.tensors, load(golden("air"), DType::kF32).tensors), "");
  options.dtype = DType::kF16;
  convert_checkpoint(options);  // in the place of the old one
  const BlobSet half = load(folder.file("out"));
  EXPECT_EQ(half.tensors.at("lm_head.weight").dtype, DType::kF16);
  EXPECT_EQ(half.tensors.at("transformer.layers.1.mlp.router.weight").dtype, DType::kF32);
}

// An exception out of the progress callback stands for a kill: nothing after it runs but the
// destructors.
struct Killed {};

TEST(ConvertCheckpoint, GoesOnWhereAKilledRunWas) {
  TempFolder folder;
  ConvertOptions options = options_for(kDemo, folder.file("out"));
  options.max_host_memory = 3 << 20;  // small pieces
  options.journal_bytes = 1;
  const auto kill_at_half = [](uint64_t done, uint64_t total, const std::string&) {
    if (done > total / 2) throw Killed();
  };
  EXPECT_THROW(convert_checkpoint(options, kill_at_half), Killed);
  EXPECT_FALSE(fs::exists(folder.file("out")));
  EXPECT_TRUE(fs::exists(folder.file("out.partial/journal")));

  // A torn last line is passed over.
  std::ofstream(folder.file("out.partial/journal"), std::ios::app) << "99 12";
  const ConvertReport report = convert_checkpoint(options);
  EXPECT_GT(report.resumed_bytes, report.num_bytes / 3);
  EXPECT_LT(report.resumed_bytes, report.num_bytes);
  EXPECT_EQ(first_difference(load(kDemo).tensors, load(folder.file("out")).tensors), "");
}

TEST(ConvertCheckpoint, AProcessKilledAtAnyMomentLeavesNothingHalfDone) {
  TempFolder folder;
  ConvertOptions options = options_for(kDemo, folder.file("out"));
  options.max_host_memory = 3 << 20;
  options.journal_bytes = 1 << 20;
  const BlobSet direct = load(kDemo);
  for (int wait_ms = 5; wait_ms <= 80; wait_ms += 15) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        convert_checkpoint(options);
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(wait_ms) * 1000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    if (!fs::exists(folder.file("out"))) continue;
    ASSERT_EQ(first_difference(direct.tensors, load(folder.file("out")).tensors), "");
  }
  convert_checkpoint(options);
  EXPECT_EQ(first_difference(direct.tensors, load(folder.file("out")).tensors), "");
}

TEST(ConvertCheckpoint, StartsAgainWhereOptionsChangedOrTheRankFileIsNotTheOne) {
  TempFolder folder;
  ConvertOptions options = options_for(kDemo, folder.file("out"));
  options.journal_bytes = 1;
  const auto kill = [](uint64_t done, uint64_t total, const std::string&) {
    if (done > total / 2) throw Killed();
  };
  EXPECT_THROW(convert_checkpoint(options, kill), Killed);
  fs::resize_file(folder.file("out.partial/rank0.safetensors"), 100);
  EXPECT_THROW(convert_checkpoint(options, kill), Killed);
  options.mapping.tp_size = 2;
  EXPECT_EQ(convert_checkpoint(options).resumed_bytes, 0u);
  EXPECT_EQ(first_difference(load(kDemo).tensors, load(folder.file("out")).tensors), "");
}

TEST(ConvertCheckpoint, AKilledRunLeavesTheOldFolderUntouched) {
  TempFolder folder;
  ConvertOptions options = options_for(golden("air"), folder.file("out"));
  convert_checkpoint(options);
  options.model_dir = golden("tied");
  EXPECT_THROW(
      convert_checkpoint(options, [](uint64_t, uint64_t, const std::string&) { throw Killed(); }),
      Killed);
  EXPECT_EQ(first_difference(load(golden("air")).tensors, load(folder.file("out")).tensors), "");
}

TEST(ConvertCheckpoint, RefusesAFolderWithForeignFiles) {
  TempFolder folder;
  fs::create_directory(folder.file("out"));
  folder.write("out/thesis.txt", "mine");
  const auto message =
      error_of([&] { convert_checkpoint(options_for(golden("air"), folder.file("out"))); });
  EXPECT_THAT(message, HasSubstr("thesis.txt"));
  EXPECT_TRUE(fs::exists(folder.file("out/thesis.txt")));
}

TEST(ConvertCheckpoint, RefusesItsOwnSourceAndAnotherModel) {
  TempFolder folder;
  fs::copy(golden("air"), folder.file("hf"), fs::copy_options::recursive);
  EXPECT_THAT(
      error_of([&] { convert_checkpoint(options_for(folder.file("hf"), folder.file("hf/"))); }),
      HasSubstr("read from"));
  EXPECT_THAT(error_of([&] { convert_checkpoint(options_for(golden("tied"), folder.file("hf"))); }),
              HasSubstr("not written by this program"));
  EXPECT_EQ(first_difference(load(golden("air")).tensors, load(folder.file("hf")).tensors), "");
}

TEST(ConvertCheckpoint, SaysWhyAnOutputCannotBeWritten) {
  TempFolder folder;
  folder.write("file", "x");
  EXPECT_THAT(
      error_of([&] { convert_checkpoint(options_for(golden("air"), folder.file("file"))); }),
      HasSubstr("found a file"));
  EXPECT_THAT(
      error_of([&] { convert_checkpoint(options_for(golden("air"), folder.file("file/out"))); }),
      HasSubstr("file"));
  EXPECT_NE(error_of([&] { convert_checkpoint(options_for(golden("air"), "/proc/out")); }), "");
}

TEST(ConvertCheckpoint, AFullDiskIsAClearErrorAndLeavesNothing) {
  TempFolder folder;
  // A limit on the file size stands for the disk's end.
  rlimit old{}, small{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  small = {100000, old.rlim_max};
  auto* previous = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto message =
      error_of([&] { convert_checkpoint(options_for(golden("air"), folder.file("out"))); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, previous);
  EXPECT_THAT(message, HasSubstr("rank0.safetensors"));
  EXPECT_THAT(message, HasSubstr("File too large"));
  EXPECT_FALSE(fs::exists(folder.file("out")));
  EXPECT_FALSE(fs::exists(folder.file("out.partial")));
}

TEST(ConvertCheckpoint, NamesTheLeastMemoryThatWouldDo) {
  TempFolder folder;
  ConvertOptions options = options_for(golden("air"), folder.file("out"));
  options.max_host_memory = 1000;
  EXPECT_THAT(error_of([&] { convert_checkpoint(options); }), HasSubstr("at least 393216"));
  options.max_host_memory = 393216;
  convert_checkpoint(options);
  EXPECT_EQ(first_difference(load(golden("air")).tensors, load(folder.file("out")).tensors), "");
}

TEST(ConvertCheckpoint, ATruncatedOrMissingRankFileIsNamed) {
  TempFolder folder;
  ConvertOptions options = options_for(golden("air"), folder.file("out"));
  options.mapping.tp_size = 2;
  convert_checkpoint(options);
  fs::resize_file(folder.file("out/rank1.safetensors"),
                  fs::file_size(folder.file("out/rank1.safetensors")) - 1);
  fs::remove(folder.file("out/rank0.safetensors"));
  const auto message = error_of([&] { load(folder.file("out")); });
  EXPECT_THAT(message, HasSubstr("rank0.safetensors"));
  EXPECT_THAT(message, HasSubstr("rank1.safetensors"));
}

TEST(ConvertCheckpoint, ARunThatHoldsTheFolderIsNotDisturbed) {
  TempFolder folder;
  const ConvertOptions options = options_for(golden("air"), folder.file("out"));
  std::string second;
  convert_checkpoint(options, [&](uint64_t, uint64_t, const std::string&) {
    if (second.empty()) second = error_of([&] { convert_checkpoint(options); });
  });
  EXPECT_THAT(second, HasSubstr("another process"));
  EXPECT_EQ(first_difference(load(golden("air")).tensors, load(folder.file("out")).tensors), "");
}

}  // namespace
}  // namespace glmoe
