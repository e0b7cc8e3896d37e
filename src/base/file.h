// Files as the engine uses them: mapped for reading, written aside, synced and renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace glmoe {

// Whole text file. Throws kNotFound or kIo with the path, kCorrupt above max_bytes.
std::string read_text_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

// Read-only shared mapping of a whole regular file (an empty file maps to an empty span).
// Move-only; the bytes live as long as the object. Throws kNotFound or kIo with the path.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Tells the kernel that a range will be read soon, or will not be needed again (its pages leave
  // this process; the file's content is untouched).
  void will_need(size_t offset, size_t length) const;
  void dont_need(size_t offset, size_t length) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

// A file being written. Positioned writes may come from several threads. Throws kIo with the path
// and the system's reason (a full disk among them).
class OutputFile {
 public:
  enum class Mode { kCreate, kOpenExisting };
  OutputFile() = default;
  explicit OutputFile(const std::string& path, Mode mode = Mode::kCreate);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void append(std::span<const std::byte> bytes);
  // Reserves the space up front, so that a full disk is found before the work.
  void allocate(uint64_t size);
  void sync();
  void close();
  const std::string& path() const { return path_; }

 private:
  int fd_ = -1;
  std::string path_;
};

// Writes text to `path` by way of a temporary name, sync and rename.
void write_text_file_atomically(const std::string& path, const std::string& text);
void sync_folder(const std::string& path);

// Puts the finished folder `staged` in the place of `target` in one step: readers see the old
// folder or the new one, never a mixture. An old `target` is removed afterwards.
void replace_folder(const std::string& staged, const std::string& target);

// Asks the system not to let a reader die when a mapped file shrinks underneath it: runs `body`;
// a bus error inside becomes kIo naming `what`. Destructors of what `body` holds at that moment do
// not run, so it reads plain memory and owns nothing while it does. Nested calls and other threads
// are unaffected.
void with_bus_error_guard(const std::string& what, void (*body)(void*), void* argument);

}  // namespace glmoe
