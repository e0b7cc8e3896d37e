#include "artifact/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace glmoe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kOwnFiles[] = {"config.json", "manifest.json", "journal"};

bool is_own_file(std::string name) {
  if (name.ends_with(".tmp")) name.resize(name.size() - 4);
  const auto& companions = companion_file_names();
  if (std::find(companions.begin(), companions.end(), name) != companions.end()) return true;
  if (std::find(std::begin(kOwnFiles), std::end(kOwnFiles), name) != std::end(kOwnFiles)) {
    return true;
  }
  // rank3.safetensors and rank-03.bin
  if (!name.starts_with("rank")) return false;
  name.erase(0, 4);
  if (name.starts_with("-")) name.erase(0, 1);
  const size_t digits = name.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string::npos) return false;
  return name.substr(digits) == ".safetensors" || name.substr(digits) == ".bin";
}

bool is_same_or_inside(const fs::path& inner, const fs::path& outer) {
  const auto [rest, unused] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return rest == outer.end();
}

}  // namespace

OutputFolder::OutputFolder(const std::string& output, const std::string& source,
                           ModelFolderKind kind)
    : kind_(kind) {
  if (output.empty()) fail_argument("--output_dir: a folder was wanted, found an empty name");
  std::error_code error;
  // Absolute first: what is not there yet stays relative otherwise, and has no parent to make.
  fs::path path = fs::weakly_canonical(fs::absolute(output), error);
  if (error) fail_io(error.value(), output);
  if (!path.has_filename()) path = path.parent_path();
  path_ = path.string();
  staging_ = path_ + ".partial";
  const fs::path from = fs::weakly_canonical(fs::absolute(source), error);
  if (!error && is_same_or_inside(from, path)) {
    fail_argument(
        "--output_dir {}: this is where the model is read from ({}); choose another folder", output,
        source);
  }
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) {
      fail_argument("--output_dir {}: a folder was wanted, found a file", output);
    }
    refuse_foreign(path_);
    const bool empty = fs::is_empty(path, error);
    if (!empty && detect_model_folder(path_) != kind_) {
      fail_argument(
          "--output_dir {}: it holds a {}, which is not replaced by a {}; choose another "
          "folder or remove it",
          output, model_folder_kind_name(detect_model_folder(path_)),
          model_folder_kind_name(kind_));
    }
  }
}

OutputFolder::~OutputFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void OutputFolder::refuse_foreign(const std::string& folder) const {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (it->is_regular_file() && is_own_file(name)) continue;
    fail_argument(
        "{}: it holds {}, which was not written by this program; choose another folder or "
        "remove it",
        folder, name);
  }
  if (error) fail_io(error.value(), folder);
}

bool OutputFolder::open_staging() {
  std::error_code error;
  fs::create_directories(fs::path(path_).parent_path(), error);
  if (error) fail_io(error.value(), path_ + ": its parent folder could not be made");
  const bool existed = fs::exists(staging_, error);
  if (!existed && !fs::create_directory(staging_, error)) {
    fail_io(error.value(), staging_ + ": the folder could not be made");
  }
  lock_ = ::open(staging_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail_io(errno, staging_);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    fail(ErrorCode::kUnavailable, "{}: another process is writing here; wait until it is done",
         staging_);
  }
  refuse_foreign(staging_);
  owns_staging_ = true;
  return existed;
}

void OutputFolder::clear_staging() {
  std::error_code error;
  for (fs::directory_iterator it(staging_, error), end; !error && it != end; it.increment(error)) {
    fs::remove(it->path(), error);
  }
  if (error) fail_io(error.value(), staging_ + ": could not be cleared");
}

void OutputFolder::remove_staging() {
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
}

void OutputFolder::publish() {
  replace_folder(staging_, path_);
  owns_staging_ = false;
}

}  // namespace glmoe
