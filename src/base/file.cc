#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <mutex>
#include <utility>

#include "base/error.h"

namespace glmoe {
namespace fs = std::filesystem;
namespace {

int open_for_reading(const std::string& path, size_t& size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_io(errno, path);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    fail_io(error, path);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    fail(ErrorCode::kIo, "{}: a regular file was wanted, found {}", path,
         S_ISDIR(info.st_mode) ? "a folder" : "a special file");
  }
  size = static_cast<size_t>(info.st_size);
  return fd;
}

// One jump target a thread; set while that thread is inside with_bus_error_guard.
thread_local sigjmp_buf* bus_error_target = nullptr;
struct sigaction previous_bus_action;

void on_bus_error(int signal_number, siginfo_t*, void*) {
  if (bus_error_target != nullptr) siglongjmp(*bus_error_target, 1);
  ::sigaction(signal_number, &previous_bus_action, nullptr);  // not ours: die as before
}

}  // namespace

std::string read_text_file(const std::string& path, size_t max_bytes) {
  size_t size = 0;
  const int fd = open_for_reading(path, size);
  if (size > max_bytes) {
    ::close(fd);
    fail(ErrorCode::kCorrupt, "{}: {} bytes, at most {} are accepted here", path, size, max_bytes);
  }
  std::string text(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, text.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      fail_io(error, path);
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  ::close(fd);
  text.resize(done);
  return text;
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = open_for_reading(path, size_);
  if (size_ > 0) {
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    const int error = errno;
    ::close(fd);
    if (data == MAP_FAILED) fail_io(error, path + ": could not be mapped");
    data_ = static_cast<const std::byte*>(data);
  } else {
    ::close(fd);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

namespace {
void advise(const std::byte* data, size_t size, size_t offset, size_t length, int advice) {
  if (data == nullptr || offset >= size) return;
  length = std::min(length, size - offset);
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  ::madvise(const_cast<std::byte*>(data) + begin, offset + length - begin, advice);
}
}  // namespace

void MappedFile::will_need(size_t offset, size_t length) const {
  advise(data_, size_, offset, length, MADV_WILLNEED);
}

void MappedFile::dont_need(size_t offset, size_t length) const {
  advise(data_, size_, offset, length, MADV_DONTNEED);
}

OutputFile::OutputFile(const std::string& path, Mode mode) : path_(path) {
  const int flags = mode == Mode::kCreate ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY;
  fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_io(errno, path + ": could not be opened for writing");
}

OutputFile::OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_io(errno, path_ + ": writing failed");
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void OutputFile::append(std::span<const std::byte> bytes) {
  const off_t end = ::lseek(fd_, 0, SEEK_END);
  if (end < 0) fail_io(errno, path_);
  write_at(static_cast<uint64_t>(end), bytes);
}

void OutputFile::allocate(uint64_t size) {
  if (size == 0) return;
  const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
  if (error == EOPNOTSUPP || error == EINVAL) {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail_io(errno, path_);
    return;
  }
  if (error != 0) {
    fail_io(error, fmt::format("{}: {} bytes could not be reserved", path_, size));
  }
}

void OutputFile::sync() {
  if (::fsync(fd_) != 0) fail_io(errno, path_ + ": sync failed");
}

void OutputFile::close() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) fail_io(errno, path_ + ": close failed");
}

void sync_folder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_io(errno, path);
  const int status = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (status != 0 && error != EINVAL) fail_io(error, path + ": sync failed");
}

void write_text_file_atomically(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  OutputFile file(temporary);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.sync();
  file.close();
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail_io(errno, path);
}

void replace_folder(const std::string& staged, const std::string& target) {
  sync_folder(staged);
  std::error_code ignored;
  const std::string parent = fs::absolute(target).parent_path().string();
  if (::rename(staged.c_str(), target.c_str()) == 0) return sync_folder(parent);
  if (errno != EEXIST && errno != ENOTEMPTY) fail_io(errno, target);
  // Swap the two names in one step; then the old content carries the staged name and can go.
  if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    fail_io(errno, target + ": the old folder could not be replaced");
  }
  sync_folder(parent);
  fs::remove_all(staged, ignored);
}

void with_bus_error_guard(const std::string& what, void (*body)(void*), void* argument) {
  static std::once_flag installed;
  std::call_once(installed, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_bus_action);
  });
  sigjmp_buf here;
  sigjmp_buf* const outer = bus_error_target;
  if (sigsetjmp(here, 1) != 0) {
    bus_error_target = outer;
    fail(ErrorCode::kIo, "{}: the file shrank or could not be read while it was in use", what);
  }
  bus_error_target = &here;
  try {
    body(argument);
  } catch (...) {
    bus_error_target = outer;
    throw;
  }
  bus_error_target = outer;
}

}  // namespace glmoe
