#include "artifact/checksum.h"

#include <xxhash.h>

#include <fmt/format.h>

#include "base/check.h"

namespace glmoe {
namespace {

std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

struct ChecksumStream::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

std::string checksum_hex(std::span<const std::byte> bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

ChecksumStream::ChecksumStream() : state_(std::make_unique<State>()) {
  GLMOE_CHECK(state_->xxh != nullptr);
  XXH3_128bits_reset(state_->xxh);
}
ChecksumStream::~ChecksumStream() = default;
ChecksumStream::ChecksumStream(ChecksumStream&&) noexcept = default;
ChecksumStream& ChecksumStream::operator=(ChecksumStream&&) noexcept = default;

void ChecksumStream::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::string ChecksumStream::hex() const { return to_hex(XXH3_128bits_digest(state_->xxh)); }

}  // namespace glmoe
