// The in-memory artifact: every tensor of a one-rank model by its logical name, with the memory
// that holds it. Converter and engine reader produce it; `weights` turns it into typed views.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "artifact/materialise.h"
#include "artifact/tensor_source.h"
#include "glmoe/config.h"
#include "tensor/tensor.h"

namespace glmoe {

struct BlobSet {
  Glm4MoeConfig config;        // num_nextn_predict_layers: MTP layers that are really there
  DType dtype = DType::kBF16;  // of the matrices
  std::map<std::string, TensorView> tensors;
  size_t num_bytes = 0;           // of the tensors
  size_t num_borrowed_bytes = 0;  // of those, read where the source has them
  std::string folder;             // where tokenizer, template and generation file lie
  std::vector<std::shared_ptr<const void>> owners;
};

struct MemoryLoadOptions {
  bool include_mtp = true;  // false: MTP layers stay out of memory and of the result's config
  // What the buffer may take; the system gives more than there is and ends the process later.
  uint64_t available_bytes = UINT64_MAX;
  // true: tensors that lie in the source as they are wanted are not copied; the source's owner is
  // kept instead.
  bool borrow = false;
  ProgressCallback progress;
};

// Fills one buffer with the whole model (mapping of one rank), matrices as `dtype`, in parallel.
// Throws kOutOfMemory, before anything is allocated, where that is more than options allow.
BlobSet load_to_memory(const TensorSource& source, DType dtype, ThreadTeam& team,
                       const MemoryLoadOptions& options = {});

// Lays `blobs` out in one buffer, each at a page, and names the places.
struct BlobBuffer {
  std::shared_ptr<Buffer> memory;
  std::vector<TensorView> views;  // one a blob
};
// Throws kOutOfMemory naming `what`, the bytes needed and `available_bytes`, and ending with what
// to do about it, where the buffer would be larger than that; nothing is allocated then.
BlobBuffer allocate_blobs(const std::vector<RankBlob>& blobs, uint64_t available_bytes,
                          const std::string& what, const std::string& remedy);

}  // namespace glmoe
