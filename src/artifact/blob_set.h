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
  size_t num_bytes = 0;  // of the tensors
  std::string folder;    // where tokenizer, template and generation file lie
  std::vector<std::shared_ptr<const void>> owners;
};

// Fills one buffer with the whole model (mapping of one rank), matrices as `dtype`, in parallel.
BlobSet load_to_memory(const TensorSource& source, DType dtype, ThreadTeam& team,
                       const ProgressCallback& progress = {});

// Lays `blobs` out in one buffer, each at a page, and names the places.
struct BlobBuffer {
  std::shared_ptr<Buffer> memory;
  std::vector<TensorView> views;  // one a blob
};
BlobBuffer allocate_blobs(const std::vector<RankBlob>& blobs);

}  // namespace glmoe
