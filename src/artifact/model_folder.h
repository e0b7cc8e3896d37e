// What kind of model folder a path is, and the files that travel with the weights.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

enum class ModelFolderKind { kHuggingFace, kConverted, kEngine };
std::string_view model_folder_kind_name(ModelFolderKind kind);  // "Hugging Face folder", ...

// An engine has manifest.json; a converted folder a config.json with "mapping" and "source"; a
// Hugging Face folder a config.json without. Throws kNotFound where there is nothing,
// kInvalidArgument for a file, kCorrupt for an empty or unknown folder.
ModelFolderKind detect_model_folder(const std::string& path);

// Tokenizer, chat template and generation file: copied along by convert and build.
const std::vector<std::string>& companion_file_names();
// Those of them that `folder` has.
std::vector<std::string> companion_files(const std::string& folder);
// Copies them, synced. Throws kIo with the path and the system's reason.
void copy_companion_files(const std::string& from, const std::string& to);

}  // namespace glmoe
