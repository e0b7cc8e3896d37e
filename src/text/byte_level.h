// The byte <-> character alphabet of byte-level BPE: each byte has a printable stand-in character,
// so that tokenizer.json can hold any bytes as text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace glmoe {

class ByteAlphabet {
 public:
  ByteAlphabet();
  // The bytes that `token` (its spelling in tokenizer.json, well-formed UTF-8) stands for,
  // appended; false, with `out` as it was, where a character is outside the alphabet.
  bool append_bytes(std::string_view token, std::string& out) const;
  // The spelling of `bytes` in tokenizer.json.
  std::string spelling(std::string_view bytes) const;

 private:
  static constexpr uint32_t kEnd = 0x144;  // stand-ins lie below
  std::array<int16_t, kEnd> byte_of_;      // -1: not in the alphabet
  std::array<uint16_t, 256> character_of_;
};

}  // namespace glmoe
