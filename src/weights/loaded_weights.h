// A loaded model: the memory of its weights and the typed views that the forward pass reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "artifact/blob_set.h"
#include "base/thread_team.h"
#include "glmoe/config.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

class LoadedWeights {
 public:
  // Checks that every tensor of the configuration's plan is there with its shape, matrices of
  // blobs.dtype and all else F32. Throws kCorrupt naming all that is not.
  explicit LoadedWeights(BlobSet blobs);

  const Glm4MoeWeights& weights() const { return weights_; }
  const Glm4MoeConfig& config() const { return blobs_.config; }
  DType dtype() const { return blobs_.dtype; }                // of the matrices
  size_t resident_bytes() const { return blobs_.num_bytes; }  // of the tensors, each once
  size_t borrowed_bytes() const { return blobs_.num_borrowed_bytes; }
  const std::string& folder() const { return blobs_.folder; }

 private:
  BlobSet blobs_;
  Glm4MoeWeights weights_;  // views into blobs_
};

struct EngineLoadOptions {
  bool verify_checksums = false;
  // false: the weights stay in the mapped file (one-rank engines; no copy). true: they are copied
  // into anonymous memory with huge pages. Engines of several ranks are always stitched in memory.
  bool copy_to_memory = false;
  MemoryLoadOptions memory;  // where they are copied or stitched
};

// Throws kCorrupt, kUnsupported or kIo with all reasons at once when the engine does not fit, and
// kOutOfMemory as load_to_memory does.
LoadedWeights load_engine(const std::string& path, ThreadTeam& team,
                          const EngineLoadOptions& options = {});

// Random weights for benches: matrices and biases uniform with the variance of N(0, 0.02), norms 1;
// the same for the same seed, whatever the number of threads. Throws kOutOfMemory, before anything
// is allocated, where they need more than `available_bytes`.
LoadedWeights dummy_weights(const Glm4MoeConfig& config, DType dtype, uint64_t seed,
                            ThreadTeam& team, uint64_t available_bytes = UINT64_MAX);

}  // namespace glmoe
