#include "convert/converted_folder.h"

#include <fmt/format.h>

#include <utility>

#include "artifact/model_json.h"
#include "artifact/rank_source.h"
#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "spec/config_json.h"

namespace glmoe {
namespace {

// Finds the tensor that a piece lies in, to give its pages back.
void release_piece(const std::vector<std::unique_ptr<SafetensorsFile>>& files,
                   const SourcePiece& piece) {
  for (const auto& file : files) {
    for (const auto& [name, tensor] : file->tensors()) {
      const std::byte* begin = tensor.bytes.data();
      if (piece.data >= begin && piece.data < begin + tensor.bytes.size()) {
        return file->release(tensor);
      }
    }
  }
}

}  // namespace

std::string converted_rank_file(int64_t rank) { return fmt::format("rank{}.safetensors", rank); }

Json converted_config(const Glm4MoeConfig& config, const Mapping& mapping, DType dtype,
                      const std::string& source_kind, const std::string& source_fingerprint) {
  Glm4MoeConfig stored = config;
  stored.dtype = dtype_long_name(dtype);
  Json json = config_to_json(stored);
  json["mapping"] = mapping_to_json(mapping);
  json["source"] = {{"kind", source_kind}, {"fingerprint", source_fingerprint}};
  return json;
}

TensorSource open_converted(const std::string& path) {
  const std::string config_path = path + "/config.json";
  const Glm4MoeConfig config = Glm4MoeConfig::from_file(config_path);
  const Json json = read_json_file(config_path);
  const JsonReader reader(json, config_path);
  const Mapping mapping = mapping_from_json(reader.object("mapping"));
  check_from_file(config_path, [&] { config.validate_mapping(mapping); });
  DType dtype = DType::kBF16;
  if (!parse_dtype(config.dtype, dtype)) {
    fail(ErrorCode::kCorrupt, "{}: dtype \"{}\" is not known", config_path, config.dtype);
  }
  auto files = std::make_shared<std::vector<std::unique_ptr<SafetensorsFile>>>();
  std::vector<std::string> reasons;
  std::vector<RankViews> ranks;
  for (int64_t rank = 0; rank < mapping.world_size; ++rank) {
    RankViews& views = ranks.emplace_back();
    try {
      files->push_back(std::make_unique<SafetensorsFile>(path + "/" + converted_rank_file(rank)));
      for (const auto& [name, tensor] : files->back()->tensors()) {
        views[name] = {const_cast<std::byte*>(tensor.bytes.data()), tensor.dtype, tensor.shape};
      }
    } catch (const Error& error) {
      reasons.push_back(error.what());
    }
  }
  fail_with_reasons(ErrorCode::kCorrupt, path + ": this converted folder cannot be read", reasons);
  TensorSource source = source_from_ranks(config, mapping, dtype, ranks, reasons);
  fail_with_reasons(ErrorCode::kCorrupt, path + ": config.json and the tensors do not match",
                    reasons);
  source.folder = path;
  source.kind = "converted";
  source.fingerprint = reader.object("source").string_or("fingerprint", "");
  source.release = [files = files.get()](const SourcePiece& piece) {
    release_piece(*files, piece);
  };
  source.owner = files;
  return source;
}

}  // namespace glmoe
