// safetensors files: a reader that trusts nothing, and a writer that fills a laid-out file in any
// order. Format: 8 bytes header length (little endian), JSON header, data.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "tensor/tensor.h"

namespace glmoe {

// One tensor of a file; the bytes live as long as the file's mapping.
struct HostTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

// Parses and checks a header against the size of the data that follows (features 6.1: lengths,
// offsets, overflow, overlaps, holes, duplicate keys, dtype, shape). `what` names the file.
// Throws kCorrupt (kUnsupported for an unknown dtype or more than 4 dimensions) naming the tensor.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t begin = 0, end = 0;  // in the data section
};
struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // by offset
  std::map<std::string, std::string> metadata;
};
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_size,
                                           const std::string& what);

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);  // maps and checks
  const std::string& path() const { return file_.path(); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::map<std::string, HostTensor>& tensors() const { return tensors_; }
  const HostTensor& tensor(const std::string& name) const;  // throws kNotFound with file and name
  // Gives the pages of a tensor back to the system after use.
  void release(const HostTensor& tensor) const;

 private:
  MappedFile file_;
  std::map<std::string, HostTensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Lays out a file from its entries (name, dtype, shape), reserves the space and writes the header;
// tensors are then written in pieces from any thread.
class SafetensorsWriter {
 public:
  struct Spec {
    std::string name;
    DType dtype = DType::kF32;
    Shape shape;
  };
  // `resume` opens an existing file of exactly this layout instead of making a new one.
  SafetensorsWriter(const std::string& path, std::vector<Spec> specs,
                    const std::map<std::string, std::string>& metadata, bool resume = false);
  void write(const std::string& name, uint64_t byte_offset, std::span<const std::byte> bytes);
  void finish();  // sync and close
  uint64_t file_size() const { return file_size_; }

 private:
  OutputFile file_;
  std::map<std::string, std::pair<uint64_t, uint64_t>> ranges_;  // name -> file offset, size
  uint64_t file_size_ = 0;
};

}  // namespace glmoe
