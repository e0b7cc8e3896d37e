// Finds the files of a checkpoint folder and checks that index and files tell the same story.
#include "checkpoint/hf_folder.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "spec/config_json.h"

namespace glmoe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

std::string folder_problem(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return "does not exist";
  if (!fs::is_directory(status)) return "is a file: a Hugging Face folder was wanted";
  return {};
}

// Names of the folder's entries, sorted.
std::vector<std::string> list(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(path, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) fail(ErrorCode::kIo, "{}: the folder cannot be read: {}", path, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

// A link may leave the folder only as Hugging Face's cache does: snapshots/<revision>/x into
// ../../blobs/. Anything else could show a file that the folder's owner never meant to.
void check_link(const std::string& folder, const std::string& name) {
  const fs::path path = fs::path(folder) / name;
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error))) return;
  const fs::path target = fs::canonical(path, error);
  if (error) fail(ErrorCode::kNotFound, "{}: the link leads nowhere", path.string());
  const fs::path home = fs::canonical(folder);
  const fs::path blobs = home.parent_path().parent_path() / "blobs";
  const bool inside = target.parent_path() == home;
  const bool in_cache =
      home.parent_path().filename() == "snapshots" && target.parent_path() == blobs;
  if (!inside && !in_cache) {
    fail(ErrorCode::kCorrupt,
         "{}: a symbolic link out of the folder (to {}): put the file itself there", path.string(),
         target.string());
  }
}

void check_file_name(const std::string& index, const std::string& tensor, const std::string& file) {
  const bool plain = !file.empty() && file.find_first_of("/\\") == std::string::npos &&
                     file != "." && file != ".." && file.find('\0') == std::string::npos;
  if (!plain || !file.ends_with(".safetensors")) {
    fail(ErrorCode::kCorrupt, "{}: tensor '{}': '{}' is not the plain name of a .safetensors file",
         index, tensor, file);
  }
}

std::map<std::string, std::string> read_index(const std::string& path) {
  const Json json = read_json_file(path, {.max_bytes = size_t{256} << 20});
  const JsonReader weight_map = JsonReader(json, path).object("weight_map");
  std::map<std::string, std::string> files;
  for (const auto& item : weight_map.json().items()) {
    if (!item.value().is_string()) {
      fail(ErrorCode::kCorrupt, "{}: tensor '{}': a file name was wanted", path, item.key());
    }
    const auto file = item.value().get<std::string>();
    check_file_name(path, item.key(), file);
    files.emplace(item.key(), file);
  }
  return files;
}

[[noreturn]] void fail_without_weights(const std::string& path,
                                       const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) {
      fail(ErrorCode::kUnsupported,
           "{}: holds PyTorch weights ({}) only, which can run code when "
           "they are read: convert them to safetensors",
           path, name);
    }
  }
  fail(ErrorCode::kNotFound, "{}: no .safetensors file in the folder", path);
}

uint64_t fnv1a(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return (hash ^ 0xffu) * 0x100000001b3ull;  // so that "ab","c" and "a","bc" differ
}

}  // namespace

HfFolder::HfFolder(const std::string& path) : path_(path) {
  const std::string problem = folder_problem(path);
  if (!problem.empty()) {
    fail(problem == "does not exist" ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument, "{}: {}",
         path, problem);
  }
  const std::vector<std::string> names = list(path);
  if (names.empty()) fail(ErrorCode::kNotFound, "{}: the folder is empty", path);
  const auto has_file = [&names](const std::string& name) {
    return std::binary_search(names.begin(), names.end(), name);
  };
  if (!has_file("config.json")) {
    fail(ErrorCode::kNotFound, "{}: config.json is missing", path);
  }
  for (const char* name : {"config.json", "generation_config.json", kIndex}) {
    if (has_file(name)) check_link(path, name);
  }
  config_ = Glm4MoeConfig::from_file(path + "/config.json");
  generation_ = read_generation_config(path);

  // Every safetensors file is read, in the index or not: mtp.safetensors may stand beside it.
  std::map<std::string, const SafetensorsFile*> by_name;
  for (const std::string& name : names) {
    // reference.safetensors holds expected logits for `verify`, no weights.
    if (!name.ends_with(".safetensors") || name == "reference.safetensors") continue;
    check_link(path, name);
    files_.push_back(std::make_unique<SafetensorsFile>(path + "/" + name));
    by_name[name] = files_.back().get();
  }
  if (files_.empty() && !has_file(kIndex)) fail_without_weights(path, names);
  for (const auto& file : files_) {
    for (const auto& [name, tensor] : file->tensors()) {
      const auto [it, added] = tensors_.emplace(name, std::pair(file.get(), &tensor));
      if (!added) {
        fail(ErrorCode::kCorrupt, "tensor '{}' is in two files: {} and {}", name,
             it->second.first->path(), file->path());
      }
    }
  }
  if (!has_file(kIndex)) return;
  const std::string index = path + "/" + kIndex;
  for (const auto& [name, file] : read_index(index)) {
    const auto found = by_name.find(file);
    if (found == by_name.end()) {
      fail(ErrorCode::kNotFound, "{}: tensor '{}': file '{}' is missing", index, name, file);
    }
    if (found->second->tensors().count(name) == 0) {
      fail(ErrorCode::kCorrupt, "{}: tensor '{}' is not in file '{}'", index, name, file);
    }
  }
}

HfFolder::HfFolder(std::string path, Glm4MoeConfig config, std::vector<HostTensor> tensors,
                   std::shared_ptr<const void> owner)
    : path_(std::move(path)),
      config_(std::move(config)),
      in_memory_(std::move(tensors)),
      owner_(std::move(owner)) {
  for (const HostTensor& tensor : in_memory_) {
    const SafetensorsFile* no_file = nullptr;
    if (!tensors_.emplace(tensor.name, std::pair(no_file, &tensor)).second) {
      fail_argument("{}: tensor '{}' comes twice", path_, tensor.name);
    }
  }
}

const HostTensor* HfFolder::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second.second;
}

const HostTensor& HfFolder::tensor(const std::string& name) const {
  const HostTensor* found = find(name);
  if (found == nullptr) {
    fail(ErrorCode::kCorrupt, "{}: tensor '{}' is missing from the checkpoint", path_, name);
  }
  return *found;
}

const std::string& HfFolder::file_of(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    fail(ErrorCode::kCorrupt, "{}: tensor '{}' is missing from the checkpoint", path_, name);
  }
  return it->second.first == nullptr ? path_ : it->second.first->path();
}

std::vector<std::string> HfFolder::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& entry : tensors_) names.push_back(entry.first);
  return names;
}

void HfFolder::release(const HostTensor& tensor) const {
  const auto it = tensors_.find(tensor.name);
  if (it == tensors_.end() || it->second.first == nullptr) return;  // memory stays the owner's
  it->second.first->release(*it->second.second);
}

std::string HfFolder::fingerprint() const {
  uint64_t hash = fnv1a(0xcbf29ce484222325ull, config_to_json(config_).dump());
  for (const auto& file : files_) {
    const fs::path path(file->path());
    hash = fnv1a(hash, path.filename().string());
    hash = fnv1a(hash, std::to_string(fs::file_size(path)));
  }
  for (const auto& [name, entry] : tensors_) {
    hash = fnv1a(hash, name);
    hash = fnv1a(hash, dtype_name(entry.second->dtype));
    hash = fnv1a(hash, entry.second->shape.to_string());
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace glmoe
