#include <gmock/gmock.h>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "glmoe/error.h"
#include "support/temp_folder.h"

// Mirrors: src/checkpoint/safetensors_writer.cc
namespace glmoe {
namespace {
using testing::TempFolder;

std::vector<SafetensorsWriter::Spec> specs() {
  return {{"b", DType::kF32, {2}}, {"a", DType::kU8, {3}}, {"empty", DType::kF32, {0, 4}}};
}
std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(SafetensorsWriter, WritesPiecesInAnyOrderThatReadBack) {
  TempFolder folder;
  const std::string path = folder.file("o.safetensors");
  SafetensorsWriter writer(path, specs(), {{"k", "v"}});
  writer.write("a", 0, bytes("xyz"));
  writer.write("b", 4, bytes("5678"));
  writer.write("b", 0, bytes("1234"));
  writer.finish();
  const SafetensorsFile file(path);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.tensor("b").bytes.data()), 8),
            "12345678");
  EXPECT_EQ(file.tensor("empty").shape, Shape({0, 4}));
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_EQ(read_text_file(path).size(), writer.file_size());
}

TEST(SafetensorsWriter, ResumesTheSameLayoutAndRefusesAnother) {
  TempFolder folder;
  const std::string path = folder.file("o.safetensors");
  {
    SafetensorsWriter writer(path, specs(), {});
    writer.write("a", 0, bytes("xyz"));
    writer.finish();
  }
  {
    SafetensorsWriter writer(path, specs(), {}, true);
    writer.write("b", 0, bytes("12345678"));
    writer.finish();
  }
  const SafetensorsFile file(path);
  EXPECT_EQ(static_cast<char>(file.tensor("a").bytes[0]), 'x');
  EXPECT_EQ(static_cast<char>(file.tensor("b").bytes[0]), '1');
  EXPECT_THROW(SafetensorsWriter(path, {{"b", DType::kF32, {2}}}, {}, true), Error);
  EXPECT_EQ(static_cast<char>(SafetensorsFile(path).tensor("a").bytes[0]), 'x');
}

TEST(SafetensorsWriter, RefusesDoubleNamesAndWritesOutsideATensor) {
  TempFolder folder;
  EXPECT_THROW(
      SafetensorsWriter(folder.file("d"), {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}, {}),
      Error);
  EXPECT_THROW(SafetensorsWriter(folder.file("e"), {{"a", DType::kF32, {INT64_MAX}}}, {}), Error);
  SafetensorsWriter writer(folder.file("o"), specs(), {});
  EXPECT_THROW(writer.write("a", 1, bytes("xyz")), Error);
  EXPECT_THROW(writer.write("a", UINT64_MAX, bytes("xyz")), Error);
  EXPECT_THROW(writer.write("q", 0, bytes("x")), Error);
}

}  // namespace
}  // namespace glmoe
