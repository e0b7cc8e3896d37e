// `glmoe inspect`: what a model folder holds, without loading the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/model_folder.h"
#include "base/json.h"
#include "glmoe/config.h"
#include "tensor/dtype.h"

namespace glmoe {

struct PartSummary {
  std::string name;  // "embedding", "attention", "experts", ...
  int64_t num_tensors = 0;
  int64_t num_parameters = 0;
  uint64_t num_bytes = 0;  // of the full tensors at the folder's types
};

struct FolderSummary {
  std::string path;
  ModelFolderKind kind = ModelFolderKind::kHuggingFace;
  Glm4MoeConfig config;
  DType dtype = DType::kBF16;
  Mapping mapping;
  std::string fingerprint;    // of the source
  int64_t engine_format = 0;  // engines only
  std::string builder;        // engines only
  std::vector<PartSummary>
      parts;                   // in the order of the forward pass; parts that are empty left out
  int64_t num_tensors = 0;     // logical
  int64_t num_parameters = 0;  // without MTP
  int64_t num_active_parameters = 0;  // that one token meets, without MTP
  uint64_t num_bytes = 0;
  std::vector<std::string> companion_files;
};

// Throws as loading the folder would: what it names has been checked.
FolderSummary inspect_folder(const std::string& path);
Json summary_to_json(const FolderSummary& summary);
std::string summary_to_text(const FolderSummary& summary);

}  // namespace glmoe
