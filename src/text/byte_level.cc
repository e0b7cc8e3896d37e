#include "text/byte_level.h"

#include "text/unicode.h"

namespace glmoe {

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  uint16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    character_of_[byte] = printable ? static_cast<uint16_t>(byte) : next++;
    byte_of_[character_of_[byte]] = static_cast<int16_t>(byte);
  }
}

bool ByteAlphabet::append_bytes(std::string_view token, std::string& out) const {
  const size_t before = out.size();
  for (size_t position = 0; position < token.size();) {
    const uint32_t c = next_code_point(token, position);
    if (c >= kEnd || byte_of_[c] < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(byte_of_[c]));
  }
  return true;
}

std::string ByteAlphabet::spelling(std::string_view bytes) const {
  std::string out;
  for (const char c : bytes) append_utf8(out, character_of_[static_cast<uint8_t>(c)]);
  return out;
}

}  // namespace glmoe
