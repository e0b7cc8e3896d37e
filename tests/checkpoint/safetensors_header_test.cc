#include <gmock/gmock.h>

#include <chrono>

#include "base/error.h"
#include "checkpoint/safetensors.h"

namespace glmoe {
namespace {
using ::testing::HasSubstr;

std::string refusal(const std::string& json, uint64_t size, ErrorCode code = ErrorCode::kCorrupt) {
  try {
    parse_safetensors_header(json, size, "f.safetensors");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("f.safetensors"));
    return error.what();
  }
  return "accepted";
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{" + entry("w", dtype, shape, offsets) + "}";
}

TEST(SafetensorsHeader, AcceptsTensorsInAnyOrderWithMetadata) {
  const auto header = parse_safetensors_header(
      "{\"__metadata__\":{\"format\":\"pt\"}," + entry("b", "BF16", "[2,2]", "[4,12]") + "," +
          entry("a", "F32", "[]", "[0,4]") + "," + entry("z", "F32", "[0,3]", "[4,4]") + "}  ",
      12, "f");
  ASSERT_EQ(header.entries.size(), 3u);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[1].name, "z");
  EXPECT_EQ(header.entries[2].name, "b");
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, MustBeginWithABrace) {
  EXPECT_THAT(refusal("", 0), HasSubstr("'{'"));
  EXPECT_THAT(refusal(" {}", 0), HasSubstr("'{'"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("'{'"));
}

TEST(SafetensorsHeader, MustBeStrictJson) {
  EXPECT_THAT(refusal("{\"w\":", 0), HasSubstr("JSON"));
  EXPECT_THAT(refusal("{}x", 0), HasSubstr("JSON"));
  EXPECT_THAT(refusal("{\"\xff\":1}", 0), HasSubstr("JSON"));
  EXPECT_THAT(refusal("{\"w\":[[[[[[1]]]]]]}", 0), HasSubstr("deep"));
}

TEST(SafetensorsHeader, RefusesDuplicateKeys) {
  EXPECT_THAT(refusal("{" + entry("w", "U8", "[4]", "[0,4]") + "," +
                          entry("w", "F32", "[1]", "[0,4]") + "}",
                      4),
              HasSubstr("'w'"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("'dtype'"));
}

TEST(SafetensorsHeader, RefusesUnknownTypesAndTooManyDimensions) {
  EXPECT_THAT(refusal(one("F33", "[1]", "[0,4]"), 4, ErrorCode::kUnsupported), HasSubstr("F33"));
  EXPECT_THAT(refusal(one("float32", "[1]", "[0,4]"), 4, ErrorCode::kUnsupported),
              HasSubstr("float32"));
  EXPECT_THAT(refusal(one("U8", "[1,1,1,1,1]", "[0,1]"), 1, ErrorCode::kUnsupported),
              HasSubstr("5 dimensions"));
}

TEST(SafetensorsHeader, RefusesOffsetsThatAreReversedNegativeOrOutside) {
  EXPECT_THAT(refusal(one("U8", "[4]", "[4,0]"), 4), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[-4,0]"), 4), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[5]", "[0,5]"), 4), HasSubstr("truncated"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[0,4.0]"), 4), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[0]"), 4), HasSubstr("two numbers"));
  EXPECT_THAT(refusal(one("U8", "[4]", "[0,18446744073709551616]"), 4), HasSubstr("data_offsets"));
}

TEST(SafetensorsHeader, RefusesShapesThatDoNotFillTheirBytes) {
  EXPECT_THAT(refusal(one("F32", "[2]", "[0,4]"), 4), HasSubstr("needs 8 bytes"));
  EXPECT_THAT(refusal(one("U8", "[-4]", "[0,4]"), 4), HasSubstr("shape"));
  EXPECT_THAT(refusal(one("U8", "4", "[0,4]"), 4), HasSubstr("list"));
}

TEST(SafetensorsHeader, RefusesShapesWhoseProductOverflows) {
  // 2^32 * 2^32 * 1 byte is 0 modulo 2^64, which would match an empty range.
  EXPECT_THAT(refusal(one("U8", "[4294967296,4294967296]", "[0,0]"), 0), HasSubstr("64 bits"));
  EXPECT_THAT(refusal(one("F32", "[4611686018427387904]", "[0,0]"), 0), HasSubstr("64 bits"));
  EXPECT_THAT(refusal(one("U8", "[4294967296,4294967296,0]", "[0,0]"), 0), HasSubstr("64 bits"));
  EXPECT_THAT(refusal(one("U8", "[18446744073709551615]", "[0,0]"), 0), HasSubstr("64 bits"));
}

TEST(SafetensorsHeader, RefusesOverlapsHolesAndUncoveredData) {
  EXPECT_THAT(
      refusal("{" + entry("a", "U8", "[4]", "[0,4]") + "," + entry("b", "U8", "[4]", "[2,6]") + "}",
              6),
      HasSubstr("overlap"));
  EXPECT_THAT(
      refusal("{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[4,6]") + "}",
              6),
      HasSubstr("hole"));
  EXPECT_THAT(refusal(one("U8", "[2]", "[1,3]"), 3), HasSubstr("hole"));
  EXPECT_THAT(refusal(one("U8", "[2]", "[0,2]"), 3), HasSubstr("2 of 3"));
  EXPECT_THAT(refusal("{}", 1), HasSubstr("0 of 1"));
}

TEST(SafetensorsHeader, RefusesMissingAndUnknownFields) {
  EXPECT_THAT(refusal(R"({"w":{"shape":[1],"data_offsets":[0,1]}})", 1), HasSubstr("'dtype'"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1), HasSubstr("'shape'"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("'data_offsets'"));
  EXPECT_THAT(refusal(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"q":1}})", 1),
              HasSubstr("'q'"));
  EXPECT_THAT(refusal(R"({"w":3})", 0), HasSubstr("'w'"));
}

TEST(SafetensorsHeader, MetadataHoldsStringsOnly) {
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":1}})", 0), HasSubstr("'a'"));
  EXPECT_THAT(refusal(R"({"__metadata__":[]})", 0), HasSubstr("__metadata__"));
}

TEST(SafetensorsHeader, ReadsFiftyThousandTensors) {
  std::string json = "{";
  for (int i = 0; i < 50000; ++i) {
    const std::string name = "model.layers." + std::to_string(i / 500) + ".mlp.experts." +
                             std::to_string(i % 500) + ".gate_proj.weight";
    json += (i ? "," : "") + entry(name, "BF16", "[1,1]", fmt::format("[{},{}]", 2 * i, 2 * i + 2));
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_safetensors_header(json + "}", 100000, "f").entries.size(), 50000u);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  RecordProperty("milliseconds", static_cast<int>(took.count() * 1e3));
  RecordProperty("header_bytes", static_cast<int>(json.size()));
}

}  // namespace
}  // namespace glmoe
