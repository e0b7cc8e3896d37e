#include "cache/prefix_hash.h"

#include <bit>
#include <cstring>
#include <random>

namespace glmoe {
namespace {

// Words are taken as they lie in memory; the hash never leaves the process.
static_assert(std::endian::native == std::endian::little);

class SipState {
 public:
  explicit SipState(const PrefixHash& key)
      : v0_(key.low ^ 0x736f6d6570736575ull),
        v1_(key.high ^ 0x646f72616e646f6dull ^ 0xee),  // 0xee: 128 bits of output
        v2_(key.low ^ 0x6c7967656e657261ull),
        v3_(key.high ^ 0x7465646279746573ull) {}

  void add(uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }

  PrefixHash finish() {
    v2_ ^= 0xee;
    const uint64_t low = squeeze();
    v1_ ^= 0xdd;
    return {.low = low, .high = squeeze()};
  }

 private:
  void round() {
    v0_ += v1_;
    v2_ += v3_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v1_;
    v0_ += v3_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ = std::rotl(v2_, 32);
  }
  uint64_t squeeze() {
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

  uint64_t v0_, v1_, v2_, v3_;
};

PrefixHash random_key() {
  std::random_device device;
  const auto word = [&] { return (uint64_t{device()} << 32) | device(); };
  return {.low = word(), .high = word()};
}

// Inline, so that the state stays in registers.
[[gnu::always_inline]] inline void add_bytes(SipState& state, const uint8_t* bytes, size_t count,
                                             size_t total) {
  uint64_t word = 0;
  for (; count >= 8; bytes += 8, count -= 8) {
    std::memcpy(&word, bytes, 8);
    state.add(word);
  }
  word = 0;
  if (count > 0) std::memcpy(&word, bytes, count);  // no bytes: perhaps a null pointer
  state.add(word | (uint64_t{total} << 56));        // the length's lowest byte ends the text
}

}  // namespace

PrefixHash siphash128(const PrefixHash& key, std::span<const uint8_t> bytes) {
  SipState state(key);
  add_bytes(state, bytes.data(), bytes.size(), bytes.size());
  return state.finish();
}

PrefixHasher::PrefixHasher() : key_(random_key()) {}

PrefixHash PrefixHasher::shortened(PrefixHash hash) const {
  if (num_bits_ >= 64) return hash;
  return {.low = hash.low & ((uint64_t{1} << num_bits_) - 1), .high = 0};
}

PrefixHash PrefixHasher::root(std::string_view salt) const {
  return shortened(siphash128(key_, {reinterpret_cast<const uint8_t*>(salt.data()), salt.size()}));
}

PrefixHash PrefixHasher::extend(const PrefixHash& parent, std::span<const int32_t> tokens) const {
  SipState state(key_);
  state.add(parent.low);
  state.add(parent.high);
  const size_t num_bytes = tokens.size_bytes();
  add_bytes(state, reinterpret_cast<const uint8_t*>(tokens.data()), num_bytes, 16 + num_bytes);
  return shortened(state.finish());
}

}  // namespace glmoe
