// A checkpoint folder straight into memory, as one rank holds it: the way of `--model HF_FOLDER`.
#pragma once

#include <optional>
#include <string>

#include "artifact/blob_set.h"

namespace glmoe {

// Opens a Hugging Face folder, a converted folder or an engine (of any number of ranks) as full
// logical tensors. With a team, an engine's checksums are verified first: whoever writes new ones
// must not vouch for bytes that have changed.
TensorSource open_checkpoint(const std::string& path, ThreadTeam* verify_with = nullptr);

// open_checkpoint + load_to_memory. `dtype` of the matrices: nullopt keeps the checkpoint's own.
BlobSet load_checkpoint_to_blobs(const std::string& path, std::optional<DType> dtype,
                                 ThreadTeam& team, const MemoryLoadOptions& options = {});

}  // namespace glmoe
