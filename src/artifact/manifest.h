// manifest.json of an engine folder: what is in it, where, and with which checksums.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "glmoe/config.h"
#include "tensor/tensor.h"

namespace glmoe {

inline constexpr int64_t kEngineFormatVersion = 1;
// Blobs begin at multiples of this: a page, so that a mapped blob is as aligned as a buffer.
inline constexpr uint64_t kEngineBlobAlignment = 4096;
std::string_view builder_version();

struct EngineBlob {
  std::string name;
  uint64_t offset = 0, size = 0;  // bytes in the rank's file
  DType dtype = DType::kF32;
  Shape shape;
  std::string checksum;  // XXH3-128, 32 hexadecimal digits
};

struct EngineRank {
  std::string file;   // "rank-00.bin"
  uint64_t size = 0;  // bytes
  std::vector<EngineBlob> blobs;
};

struct EngineFile {  // tokenizer, template, generation file
  std::string name;
  uint64_t size = 0;
  std::string checksum;
};

struct EngineManifest {
  int64_t format_version = kEngineFormatVersion;
  std::string builder;
  Glm4MoeConfig config;
  Mapping mapping;
  DType dtype = DType::kBF16;  // of the matrices
  Json recipe = Json::object();
  std::string source_kind, source_fingerprint;
  std::vector<EngineRank> ranks;
  std::vector<EngineFile> files;
  // Of the manifest's own content: as it says, and as read_manifest found it.
  std::string checksum_said, checksum_found;
};

std::string rank_file_name(int64_t rank);  // "rank-00.bin"
Json manifest_to_json(const EngineManifest& manifest);
// Reads and checks the manifest by itself: version, types, file names, and that blobs are aligned,
// inside their file, of the size that dtype and shape make, and do not overlap. Unknown fields are
// passed over. Throws kUnsupported for another format version, kCorrupt with all other reasons.
EngineManifest read_manifest(const std::string& folder);

}  // namespace glmoe
