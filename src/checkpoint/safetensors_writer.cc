// Writing: the layout is fixed first, so tensors may come in any order, in pieces, from any thread.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace glmoe {
namespace {

uint64_t bytes_of(const SafetensorsWriter::Spec& spec, const std::string& path) {
  uint64_t bytes = dtype_size(spec.dtype);
  for (const int64_t dim : spec.shape.dims()) {
    if (dim < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes) ||
        bytes > uint64_t{INT64_MAX}) {
      fail_argument("{}: tensor '{}' of shape {} does not fit 64 bits", path, spec.name,
                    spec.shape.to_string());
    }
  }
  return bytes;
}

// Eight bytes of length and the JSON, padded with spaces so that the data is aligned to 64 bytes.
std::string with_length(std::string json) {
  json.append((64 - (json.size() + 8) % 64) % 64, ' ');
  std::string head;
  for (int i = 0; i < 8; ++i) {
    head.push_back(static_cast<char>(static_cast<uint64_t>(json.size()) >> (8 * i) & 0xff));
  }
  return head + json;
}

void check_resumable(const std::string& path, const std::string& head, uint64_t file_size) {
  const MappedFile existing(path);
  const std::span<const std::byte> bytes = existing.bytes();
  const auto wanted = std::as_bytes(std::span(head));
  if (bytes.size() != file_size || !std::equal(wanted.begin(), wanted.end(), bytes.begin())) {
    fail(ErrorCode::kCorrupt, "{}: the file there has another layout, so it cannot be continued",
         path);
  }
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<Spec> specs,
                                     const std::map<std::string, std::string>& metadata,
                                     bool resume) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const Spec& spec : specs) {
    const uint64_t begin = offset;
    if (__builtin_add_overflow(begin, bytes_of(spec, path), &offset) ||
        offset > uint64_t{INT64_MAX} / 2) {
      fail_argument("{}: the tensors do not fit a file", path);
    }
    if (spec.name == "__metadata__" ||
        !ranges_.emplace(spec.name, std::pair(begin, offset - begin)).second) {
      fail_argument("{}: tensor name '{}' is reserved or appears twice", path, spec.name);
    }
    const auto dims = spec.shape.dims();
    header[spec.name] = {{"dtype", dtype_name(spec.dtype)},
                         {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                         {"data_offsets", {begin, offset}}};
  }
  const std::string head = with_length(header.dump());
  for (auto& [name, range] : ranges_) range.first += head.size();
  file_size_ = head.size() + offset;
  if (resume) {
    check_resumable(path, head, file_size_);
    file_ = OutputFile(path, OutputFile::Mode::kOpenExisting);
    return;
  }
  file_ = OutputFile(path);
  file_.allocate(file_size_);
  file_.write_at(0, std::as_bytes(std::span(head)));
}

void SafetensorsWriter::write(const std::string& name, uint64_t byte_offset,
                              std::span<const std::byte> bytes) {
  const auto it = ranges_.find(name);
  if (it == ranges_.end()) {
    fail(ErrorCode::kInternal, "{}: tensor '{}' was not announced", file_.path(), name);
  }
  const auto& [begin, size] = it->second;
  if (byte_offset > size || bytes.size() > size - byte_offset) {
    fail(ErrorCode::kInternal, "{}: tensor '{}': {} bytes at {} leave its {} bytes", file_.path(),
         name, bytes.size(), byte_offset, size);
  }
  file_.write_at(begin + byte_offset, bytes);
}

void SafetensorsWriter::finish() {
  file_.sync();
  file_.close();
}

}  // namespace glmoe
