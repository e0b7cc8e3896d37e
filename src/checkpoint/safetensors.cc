// Reading: map, check, hand out views. The header's rules are in safetensors_header.cc.
#include "checkpoint/safetensors.h"

#include "base/error.h"

namespace glmoe {
namespace {

constexpr uint64_t kPrefix = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

struct HeaderSpan {
  std::string_view json;
  std::span<const std::byte> data;
};

HeaderSpan split(const MappedFile& file) {
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < kPrefix) {
    fail(ErrorCode::kCorrupt,
         "{}: {} bytes, a safetensors file has at least 8 (empty or truncated?)", file.path(),
         bytes.size());
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kPrefix; ++i) {
    length |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (length > kMaxHeader) {
    fail(ErrorCode::kCorrupt,
         "{}: a header of {} bytes, at most {} are allowed (not a safetensors file?)", file.path(),
         length, kMaxHeader);
  }
  if (length > bytes.size() - kPrefix) {
    fail(ErrorCode::kCorrupt,
         "{}: a header of {} bytes, but the file holds {} after the length (truncated?)",
         file.path(), length, bytes.size() - kPrefix);
  }
  return {{reinterpret_cast<const char*>(bytes.data()) + kPrefix, length},
          bytes.subspan(kPrefix + length)};
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const HeaderSpan parts = split(file_);
  // Copied, so that a file that shrinks while it is parsed raises an error and not a signal.
  std::string json;
  struct Copy {
    std::string_view from;
    std::string* to;
  } copy{parts.json, &json};
  json.resize(parts.json.size());
  with_bus_error_guard(
      path,
      [](void* argument) {
        auto* job = static_cast<Copy*>(argument);
        job->from.copy(job->to->data(), job->from.size());
      },
      &copy);
  SafetensorsHeader header = parse_safetensors_header(json, parts.data.size(), path);
  metadata_ = std::move(header.metadata);
  for (SafetensorsEntry& entry : header.entries) {
    HostTensor tensor{entry.name, entry.dtype, entry.shape,
                      parts.data.subspan(entry.begin, entry.end - entry.begin)};
    tensors_.emplace(std::move(entry.name), std::move(tensor));
  }
}

const HostTensor& SafetensorsFile::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    fail(ErrorCode::kNotFound, "{}: tensor '{}' is not in this file", path(), name);
  }
  return it->second;
}

void SafetensorsFile::release(const HostTensor& tensor) const {
  if (tensor.bytes.empty()) return;
  file_.dont_need(static_cast<size_t>(tensor.bytes.data() - file_.bytes().data()),
                  tensor.bytes.size());
}

}  // namespace glmoe
