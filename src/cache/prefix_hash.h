// Keyed hashes of token prefixes: a block's hash covers every token up to its end and the salt.
//
// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012). The key is drawn for each
// process, so nobody outside can make two prefixes collide; and what the hash finds is compared
// token by token all the same.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace glmoe {

struct PrefixHash {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const PrefixHash&) const = default;
};

class PrefixHasher {
 public:
  PrefixHasher();  // a random key
  // `num_bits` below 64: so many of the hash are kept, so that tests meet collisions.
  explicit PrefixHasher(PrefixHash key, int num_bits = 128) : key_(key), num_bits_(num_bits) {}

  // Of the empty prefix.
  PrefixHash root(std::string_view salt) const;
  // Of the prefix `parent` with one more block.
  PrefixHash extend(const PrefixHash& parent, std::span<const int32_t> tokens) const;

 private:
  PrefixHash shortened(PrefixHash hash) const;

  PrefixHash key_;
  int num_bits_ = 128;
};

// The function itself, over bytes.
PrefixHash siphash128(const PrefixHash& key, std::span<const uint8_t> bytes);

}  // namespace glmoe
