#include "artifact/checksum.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace glmoe {
namespace {

std::vector<std::byte> pattern(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 37 + i / 251);
  return bytes;
}

// The published value for no bytes and no seed: engines must stay readable by later versions.
TEST(Checksum, IsXxh3Of128BitsInCanonicalOrder) {
  EXPECT_EQ(checksum_hex({}), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(ChecksumStream().hex(), checksum_hex({}));
}

// XXH3 has paths of their own up to 16, 128, 240 and 1024 bytes; a stream buffers 256.
TEST(Checksum, AStreamIsTheWholeWhereverItIsCut) {
  for (const size_t size : {1, 16, 17, 128, 129, 240, 241, 256, 257, 1024, 1025, 5000}) {
    const std::vector<std::byte> bytes = pattern(size);
    const std::string wanted = checksum_hex(bytes);
    for (const size_t cut : {size_t{0}, size_t{1}, size / 2, size - 1, size}) {
      ChecksumStream stream;
      stream.update(std::span(bytes).first(cut));
      stream.update({});
      stream.update(std::span(bytes).subspan(cut));
      EXPECT_EQ(stream.hex(), wanted) << size << " bytes, cut at " << cut;
    }
  }
}

TEST(Checksum, GoesOnAfterBeingReadAndMoved) {
  const std::vector<std::byte> bytes = pattern(700);
  ChecksumStream stream;
  stream.update(std::span(bytes).first(300));
  EXPECT_EQ(stream.hex(), checksum_hex(std::span(bytes).first(300)));
  ChecksumStream moved = std::move(stream);
  moved.update(std::span(bytes).subspan(300));
  EXPECT_EQ(moved.hex(), checksum_hex(bytes));
}

TEST(Checksum, EveryBitAndTheLengthCount) {
  std::vector<std::byte> bytes = pattern(64);
  const std::string before = checksum_hex(bytes);
  for (size_t bit = 0; bit < 64 * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    EXPECT_NE(checksum_hex(bytes), before) << "bit " << bit;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
  }
  bytes.push_back(std::byte{0});
  EXPECT_NE(checksum_hex(bytes), before);
}

}  // namespace
}  // namespace glmoe
