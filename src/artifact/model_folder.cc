#include "artifact/model_folder.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace glmoe {
namespace fs = std::filesystem;
namespace {

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

}  // namespace

std::string_view model_folder_kind_name(ModelFolderKind kind) {
  switch (kind) {
    case ModelFolderKind::kHuggingFace: return "Hugging Face folder";
    case ModelFolderKind::kConverted: return "converted folder";
    case ModelFolderKind::kEngine: return "engine";
  }
  return "?";
}

ModelFolderKind detect_model_folder(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    fail(ErrorCode::kNotFound, "{}: there is no such folder; a model folder was wanted", path);
  }
  if (!fs::is_directory(status)) {
    fail_argument("{}: a model folder was wanted, found a file", path);
  }
  if (is_file(path + "/manifest.json")) return ModelFolderKind::kEngine;
  if (is_file(path + "/config.json")) {
    const Json config = read_json_file(path + "/config.json");
    const bool ours = config.is_object() && config.contains("mapping") && config.contains("source");
    return ours ? ModelFolderKind::kConverted : ModelFolderKind::kHuggingFace;
  }
  fs::directory_iterator entries(path, error);
  if (error) fail_io(error.value(), path);
  if (entries == fs::directory_iterator()) {
    fail(ErrorCode::kCorrupt, "{}: the folder is empty; a model folder was wanted", path);
  }
  fail(ErrorCode::kCorrupt,
       "{}: not a model folder: neither config.json (Hugging Face or converted) nor manifest.json "
       "(engine) is in it",
       path);
}

const std::vector<std::string>& companion_file_names() {
  static const std::vector<std::string> names = {"tokenizer.json",
                                                 "tokenizer_config.json",
                                                 "chat_template.jinja",
                                                 "chat_template.json",
                                                 "generation_config.json",
                                                 "special_tokens_map.json",
                                                 "added_tokens.json",
                                                 "vocab.json",
                                                 "merges.txt"};
  return names;
}

std::vector<std::string> companion_files(const std::string& folder) {
  std::vector<std::string> found;
  for (const std::string& name : companion_file_names()) {
    if (is_file(folder + "/" + name)) found.push_back(name);
  }
  return found;
}

void copy_companion_files(const std::string& from, const std::string& to) {
  for (const std::string& name : companion_files(from)) {
    write_text_file_atomically(to + "/" + name, read_text_file(from + "/" + name));
  }
}

}  // namespace glmoe
