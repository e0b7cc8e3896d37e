#include "artifact/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "artifact/checksum.h"
#include "artifact/model_json.h"
#include "base/error.h"
#include "spec/config_json.h"

#ifndef GLMOE_VERSION
#define GLMOE_VERSION "0.1.0"
#endif

namespace glmoe {
namespace {

constexpr const char* kChecksumField = "manifest_checksum";

// Of everything but the field that holds it; spaces and the order of keys do not matter.
std::string content_checksum(Json json) {
  json.erase(kChecksumField);
  const std::string text = json.dump();
  return checksum_hex(std::as_bytes(std::span(text)));
}

Json shape_to_json(const Shape& shape) {
  Json dims = Json::array();
  for (const int64_t dim : shape.dims()) dims.push_back(dim);
  return dims;
}

// Bytes of dtype and dims; false where they are no shape or overflow.
bool shape_bytes(const Json& dims, DType dtype, Shape& shape, uint64_t& bytes) {
  if (!dims.is_array() || dims.empty() || dims.size() > Shape::kMaxRank) return false;
  std::vector<int64_t> values;
  uint64_t total = dtype_size(dtype);
  for (const Json& dim : dims) {
    if (!dim.is_number_integer() || dim.get<int64_t>() <= 0) return false;
    values.push_back(dim.get<int64_t>());
    if (__builtin_mul_overflow(total, static_cast<uint64_t>(values.back()), &total)) return false;
  }
  if (total > static_cast<uint64_t>(INT64_MAX)) return false;
  shape = Shape(values);
  bytes = total;
  return true;
}

uint64_t size_field(const JsonReader& reader, std::string_view key) {
  const int64_t value = reader.integer(key);
  if (value < 0) {
    fail(ErrorCode::kCorrupt, "{}: {} is negative ({})", reader.what(), key, value);
  }
  return static_cast<uint64_t>(value);
}

// A name inside the folder, nothing that leads out of it.
std::string plain_file_name(const JsonReader& reader, std::string_view key) {
  std::string name = reader.string(key);
  if (name.empty() || name.starts_with(".") || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos) {
    fail(ErrorCode::kCorrupt, "{}: {}: a plain file name was wanted, found \"{}\"", reader.what(),
         key, name);
  }
  return name;
}

const Json& array_field(const JsonReader& reader, std::string_view key) {
  const Json& value = reader.raw(key);
  if (!value.is_array()) {
    fail(ErrorCode::kCorrupt, "{}: {}: an array was wanted", reader.what(), key);
  }
  return value;
}

EngineBlob read_blob(const JsonReader& reader, const EngineRank& rank) {
  EngineBlob blob;
  blob.name = reader.string("name");
  blob.offset = size_field(reader, "offset");
  blob.size = size_field(reader, "size");
  blob.checksum = reader.string("checksum");
  const std::string dtype = reader.string("dtype");
  const auto wrong = [&](const std::string& reason) {
    fail(ErrorCode::kCorrupt, "{}: blob {}: {}", rank.file, blob.name, reason);
  };
  if (!parse_dtype(dtype, blob.dtype)) wrong(fmt::format("unknown dtype \"{}\"", dtype));
  uint64_t bytes = 0;
  if (!shape_bytes(reader.raw("shape"), blob.dtype, blob.shape, bytes)) {
    wrong("shape " + reader.raw("shape").dump() + " is not one");
  }
  if (bytes != blob.size) {
    wrong(fmt::format("{} {} takes {} bytes, size says {}", dtype, blob.shape.to_string(), bytes,
                      blob.size));
  }
  if (blob.offset % kEngineBlobAlignment != 0) {
    wrong(fmt::format("offset {} is not a multiple of {}", blob.offset, kEngineBlobAlignment));
  }
  if (blob.offset > rank.size || blob.size > rank.size - blob.offset) {
    wrong(fmt::format("bytes {} to {}+{} lie beyond the file's {}", blob.offset, blob.offset,
                      blob.size, rank.size));
  }
  return blob;
}

void find_overlaps(const EngineRank& rank, std::vector<std::string>& reasons) {
  std::vector<const EngineBlob*> blobs;
  std::set<std::string> names;
  for (const EngineBlob& blob : rank.blobs) {
    blobs.push_back(&blob);
    if (!names.insert(blob.name).second) {
      reasons.push_back(fmt::format("{}: blob {} is there twice", rank.file, blob.name));
    }
  }
  std::sort(blobs.begin(), blobs.end(),
            [](const EngineBlob* a, const EngineBlob* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < blobs.size(); ++i) {
    if (blobs[i]->offset < blobs[i - 1]->offset + blobs[i - 1]->size) {
      reasons.push_back(fmt::format("{}: blobs {} and {} overlap", rank.file, blobs[i - 1]->name,
                                    blobs[i]->name));
    }
  }
}

// Runs `read`, and notes what it throws instead of passing it on.
template <class F>
void collect(std::vector<std::string>& reasons, F&& read) {
  try {
    read();
  } catch (const Error& error) {
    reasons.push_back(error.what());
  }
}

void read_ranks(const JsonReader& reader, EngineManifest& manifest,
                std::vector<std::string>& reasons) {
  for (const Json& json : array_field(reader, "ranks")) {
    EngineRank rank;
    const JsonReader entry(json, fmt::format("rank {}", manifest.ranks.size()));
    collect(reasons, [&] {
      rank.file = plain_file_name(entry, "file");
      rank.size = size_field(entry, "size");
      for (const Json& blob : array_field(entry, "blobs")) {
        collect(reasons, [&] { rank.blobs.push_back(read_blob({blob, rank.file}, rank)); });
      }
    });
    find_overlaps(rank, reasons);
    manifest.ranks.push_back(std::move(rank));
  }
}

}  // namespace

std::string_view builder_version() { return GLMOE_VERSION; }

std::string rank_file_name(int64_t rank) { return fmt::format("rank-{:02}.bin", rank); }

Json manifest_to_json(const EngineManifest& manifest) {
  Json ranks = Json::array();
  for (const EngineRank& rank : manifest.ranks) {
    Json blobs = Json::array();
    for (const EngineBlob& blob : rank.blobs) {
      blobs.push_back({{"name", blob.name},
                       {"offset", blob.offset},
                       {"size", blob.size},
                       {"dtype", std::string(dtype_name(blob.dtype))},
                       {"shape", shape_to_json(blob.shape)},
                       {"checksum", blob.checksum}});
    }
    ranks.push_back({{"file", rank.file}, {"size", rank.size}, {"blobs", std::move(blobs)}});
  }
  Json files = Json::array();
  for (const EngineFile& file : manifest.files) {
    files.push_back({{"name", file.name}, {"size", file.size}, {"checksum", file.checksum}});
  }
  Json json = {
      {"format", "glmoe-engine"},
      {"format_version", manifest.format_version},
      {"builder", manifest.builder},
      {"model", config_to_json(manifest.config)},
      {"mapping", mapping_to_json(manifest.mapping)},
      {"dtype", std::string(dtype_long_name(manifest.dtype))},
      {"recipe", manifest.recipe},
      {"source", {{"kind", manifest.source_kind}, {"fingerprint", manifest.source_fingerprint}}},
      {"checksum", "xxh3-128"},
      {"ranks", std::move(ranks)},
      {"files", std::move(files)}};
  json[kChecksumField] = content_checksum(json);
  return json;
}

EngineManifest read_manifest(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  const Json json = read_json_file(path);
  const JsonReader reader(json, path);
  EngineManifest manifest;
  manifest.format_version = reader.integer("format_version");
  manifest.builder = reader.string_or("builder", "unknown");
  if (manifest.format_version != kEngineFormatVersion) {
    fail(ErrorCode::kUnsupported,
         "{}: engine format {} (built by version {}), this program reads format {}; build the "
         "engine again",
         path, manifest.format_version, manifest.builder, kEngineFormatVersion);
  }
  manifest.checksum_said = reader.string_or(kChecksumField, "none");
  manifest.checksum_found = content_checksum(json);
  std::vector<std::string> reasons;
  collect(reasons, [&] {
    manifest.config = config_from_json(reader.raw("model"), path + ": model");
    manifest.config.validate();
  });
  collect(reasons, [&] { manifest.mapping = mapping_from_json(reader.object("mapping")); });
  collect(reasons, [&] {
    const std::string dtype = reader.string("dtype");
    const bool known = parse_dtype(dtype, manifest.dtype);
    if (!known || (manifest.dtype != DType::kF32 && manifest.dtype != DType::kF16 &&
                   manifest.dtype != DType::kBF16)) {
      fail(ErrorCode::kCorrupt, "dtype: float32, float16 or bfloat16 was wanted, found \"{}\"",
           dtype);
    }
  });
  if (reader.has("recipe")) manifest.recipe = reader.raw("recipe");
  collect(reasons, [&] {
    const JsonReader source = reader.object("source");
    manifest.source_kind = source.string_or("kind", "");
    manifest.source_fingerprint = source.string_or("fingerprint", "");
  });
  collect(reasons, [&] { read_ranks(reader, manifest, reasons); });
  collect(reasons, [&] {
    for (const Json& file : array_field(reader, "files")) {
      const JsonReader entry(file, "files");
      manifest.files.push_back(
          {plain_file_name(entry, "name"), size_field(entry, "size"), entry.string("checksum")});
    }
  });
  if (static_cast<int64_t>(manifest.ranks.size()) != manifest.mapping.world_size &&
      manifest.mapping.world_size > 0) {
    reasons.push_back(fmt::format("mapping wants {} ranks, the manifest lists {}",
                                  manifest.mapping.world_size, manifest.ranks.size()));
  }
  fail_with_reasons(ErrorCode::kCorrupt, path + ": the manifest is damaged", reasons);
  return manifest;
}

}  // namespace glmoe
