#include "artifact/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "glmoe/error.h"
#include "support/synthetic_source.h"
#include "support/temp_folder.h"

namespace glmoe {
namespace {

using glmoe::testing::small_config;
using glmoe::testing::TempFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Two blobs side by side: the first fills its page, the second ends where the file does.
EngineManifest small_manifest() {
  EngineManifest manifest;
  manifest.builder = "0.1.0";
  manifest.config = small_config();
  manifest.mapping = Mapping{}.resolved();
  manifest.dtype = DType::kF16;
  manifest.recipe = {{"target", "cpu"}};
  manifest.source_kind = "huggingface";
  manifest.source_fingerprint = "abc";
  manifest.ranks = {{"rank-00.bin",
                     4096 + 40,
                     {{"first", 0, 4096, DType::kF16, Shape{64, 32}, "c1"},
                      {"second", 4096, 40, DType::kF32, Shape{10}, "c2"}}}};
  manifest.files = {{"tokenizer.json", 12, "c3"}};
  return manifest;
}

class Manifest : public ::testing::Test {
 protected:
  EngineManifest read(const Json& json) const {
    folder_.write("manifest.json", json.dump());
    return read_manifest(folder_.path());
  }
  // "" where the changed manifest is accepted.
  std::string refusal(const std::function<void(Json&)>& change,
                      ErrorCode code = ErrorCode::kCorrupt) const {
    Json json = manifest_to_json(small_manifest());
    change(json);
    try {
      read(json);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(folder_.file("manifest.json")));
      return error.what();
    }
    return {};
  }
  static Json& blob(Json& json, size_t i) { return json["ranks"][0]["blobs"][i]; }

  TempFolder folder_;
};

TEST_F(Manifest, IsReadBackAsItWasWritten) {
  const EngineManifest wanted = small_manifest();
  const EngineManifest found = read(manifest_to_json(wanted));
  EXPECT_EQ(manifest_to_json(found), manifest_to_json(wanted));
  EXPECT_EQ(found.config, wanted.config);
  EXPECT_EQ(found.mapping, wanted.mapping);
  EXPECT_EQ(found.ranks[0].blobs[1].shape, (Shape{10}));
  EXPECT_EQ(rank_file_name(7), "rank-07.bin");
  EXPECT_EQ(rank_file_name(123), "rank-123.bin");
}

TEST_F(Manifest, ABlobMayTouchItsNeighbourAndTheEndButNotCrossThem) {
  EXPECT_EQ(refusal([](Json&) {}), "");
  EXPECT_THAT(refusal([](Json& json) { json["ranks"][0]["size"] = 4096 + 39; }),
              AllOf(HasSubstr("second"), HasSubstr("beyond the file's 4135")));
  EXPECT_THAT(refusal([](Json& json) {
                blob(json, 0)["shape"] = {64, 33};
                blob(json, 0)["size"] = 64 * 33 * 2;
                json["ranks"][0]["size"] = 1 << 20;
              }),
              AllOf(HasSubstr("first"), HasSubstr("second"), HasSubstr("overlap")));
  EXPECT_THAT(refusal([](Json& json) { blob(json, 1)["name"] = "first"; }),
              HasSubstr("first is there twice"));
}

TEST_F(Manifest, NumbersThatCannotBeAreRefused) {
  const std::vector<Json> shapes = {Json::array(),
                                    {0},
                                    {-1},
                                    {10, 0},
                                    {2.5},
                                    {"10"},
                                    10,
                                    {INT64_MAX, INT64_MAX},
                                    {1, 1, 1, 1, 1, 1, 1, 1, 10}};
  for (const Json& shape : shapes) {
    EXPECT_THAT(refusal([&](Json& json) { blob(json, 1)["shape"] = shape; }),
                AllOf(HasSubstr("blob second"), HasSubstr("is not one")))
        << shape.dump();
  }
  // 2^62 numbers of four bytes are 2^64 bytes, which is 0.
  EXPECT_THAT(refusal([](Json& json) {
                blob(json, 1)["shape"] = {int64_t{1} << 62};
                blob(json, 1)["size"] = 0;
              }),
              HasSubstr("is not one"));
  for (const char* field : {"offset", "size"}) {
    EXPECT_THAT(refusal([&](Json& json) { blob(json, 1)[field] = -1; }), HasSubstr("is negative"));
    EXPECT_THAT(refusal([&](Json& json) { blob(json, 1)[field] = 1e30; }), HasSubstr(field));
    EXPECT_THAT(refusal([&](Json& json) { blob(json, 1).erase(field); }), HasSubstr(field));
  }
  EXPECT_THAT(refusal([](Json& json) { json["ranks"][0]["size"] = -5; }), HasSubstr("is negative"));
}

TEST_F(Manifest, NamesThatLeadOutOfTheFolderAreRefused) {
  const std::vector<std::string> names = {
      "", ".", "..", "../rank-00.bin", "/etc/passwd", "a/b", ".hidden", std::string("a\0b", 3)};
  for (const std::string& name : names) {
    EXPECT_THAT(refusal([&](Json& json) { json["ranks"][0]["file"] = name; }),
                HasSubstr("plain file name"))
        << name;
    EXPECT_THAT(refusal([&](Json& json) { json["files"][0]["name"] = name; }),
                HasSubstr("plain file name"))
        << name;
  }
}

TEST_F(Manifest, TheRanksMustBeThoseOfTheMapping) {
  EXPECT_THAT(refusal([](Json& json) { json["ranks"].push_back(json["ranks"][0]); }),
              HasSubstr("mapping wants 1 ranks, the manifest lists 2"));
  EXPECT_THAT(refusal([](Json& json) { json["ranks"] = Json::array(); }), HasSubstr("lists 0"));
  EXPECT_THAT(refusal([](Json& json) { json["ranks"] = "none"; }), HasSubstr("an array"));
  EXPECT_THAT(refusal([](Json& json) { json["ranks"] = {5}; }), HasSubstr("rank 0"));
}

TEST_F(Manifest, FaultsOfEveryPartComeTogether) {
  EXPECT_THAT(refusal([](Json& json) {
                json["model"]["hidden_size"] = -16;
                json["mapping"]["tp_size"] = 0;
                json["dtype"] = "int8";
                json.erase("source");
                json["files"] = 3;
              }),
              AllOf(HasSubstr("hidden_size"), HasSubstr("tp_size"), HasSubstr("\"int8\""),
                    HasSubstr("source"), HasSubstr("files")));
  // An element type that exists, but not for matrices.
  EXPECT_THAT(refusal([](Json& json) { json["dtype"] = "I32"; }), HasSubstr("dtype"));
}

TEST_F(Manifest, AnotherFormatIsSaidBeforeAnythingElseIsLookedAt) {
  EXPECT_THAT(refusal(
                  [](Json& json) {
                    json = {{"format_version", 2}, {"builder", "9.9"}};
                  },
                  ErrorCode::kUnsupported),
              AllOf(HasSubstr("format 2"), HasSubstr("9.9")));
  EXPECT_THAT(refusal([](Json& json) { json.erase("format_version"); }),
              HasSubstr("format_version"));
}

TEST_F(Manifest, ACutFileIsRefused) {
  const std::string text = manifest_to_json(small_manifest()).dump();
  for (const size_t size : {size_t{0}, size_t{1}, text.size() / 2, text.size() - 1}) {
    folder_.write("manifest.json", text.substr(0, size));
    EXPECT_THROW(read_manifest(folder_.path()), Error) << size;
  }
}

}  // namespace
}  // namespace glmoe
