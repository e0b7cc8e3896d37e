// A Hugging Face checkpoint folder: config.json, safetensors (single, sharded with index, or with a
// separate mtp.safetensors), generation_config.json, tokenizer and template.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "glmoe/config.h"

namespace glmoe {

// Sampling defaults of generation_config.json; unset where the file has none (or is absent).
struct GenerationConfig {
  std::optional<bool> do_sample;  // false: greedy unless a request says otherwise
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::vector<int32_t> eos_token_ids;
};
GenerationConfig read_generation_config(const std::string& folder);

class HfFolder {
 public:
  // Reads config, index and every safetensors header. Throws naming file and field: missing files,
  // index entries without a file or a tensor, path separators or ".." in the index, symbolic links
  // that leave the folder (Hugging Face's cache links into ../../blobs are allowed), a tensor in
  // two files, .bin/.pt weights only (refused: safetensors are wanted).
  explicit HfFolder(const std::string& path);
  // A state_dict as if it lay in a folder: its bytes live as long as `owner` does. `path` says
  // in messages what it is. Throws kInvalidArgument for a name that comes twice.
  HfFolder(std::string path, Glm4MoeConfig config, std::vector<HostTensor> tensors,
           std::shared_ptr<const void> owner);

  const std::string& path() const { return path_; }
  const Glm4MoeConfig& config() const { return config_; }
  const GenerationConfig& generation() const { return generation_; }

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  const HostTensor* find(const std::string& name) const;    // nullptr where absent
  const HostTensor& tensor(const std::string& name) const;  // throws kCorrupt: missing from folder
  const std::string& file_of(const std::string& name) const;  // the path where it is in memory
  std::vector<std::string> names() const;
  void release(const HostTensor& tensor) const;
  // A hash of configuration, names, types, shapes and file sizes: identifies the source (not every
  // byte) for manifests and for resuming.
  std::string fingerprint() const;

 private:
  std::string path_;
  Glm4MoeConfig config_;
  GenerationConfig generation_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<HostTensor> in_memory_;  // beside no file
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::pair<const SafetensorsFile*, const HostTensor*>> tensors_;
};

}  // namespace glmoe
