// The small model of synthetic_source.h, loaded in F32: for tests of what runs it.
#pragma once

#include <memory>

#include "support/synthetic_source.h"
#include "weights/loaded_weights.h"

namespace glmoe::testing {

// Its tensors before they are bound, for tests that change some of them.
inline BlobSet small_blobs() {
  ThreadTeam team(1);
  return load_to_memory(synthetic_source(small_config(), DType::kF32), DType::kF32, team);
}

inline std::shared_ptr<const LoadedWeights> small_model() {
  return std::make_shared<const LoadedWeights>(small_blobs());
}

// Ids below the vocabulary, the same for the same seed.
inline std::vector<int32_t> small_text(int64_t num_tokens, uint64_t seed) {
  const auto vocab_size = static_cast<uint64_t>(small_config().vocab_size);
  std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(random_bits(seed, 9, i) % vocab_size);
  }
  return ids;
}

}  // namespace glmoe::testing
