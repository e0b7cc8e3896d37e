// The header's checks. Nothing in it is believed before it has been compared with the file's size.
#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/json.h"
#include "checkpoint/safetensors.h"

namespace glmoe {
namespace {

[[noreturn]] void fail_tensor(const std::string& what, const std::string& name,
                              const std::string& problem) {
  fail(ErrorCode::kCorrupt, "{}: tensor '{}': {}", what, name, problem);
}

uint64_t whole_number(const Json& value, const std::string& what, const std::string& name,
                      std::string_view field) {
  // nlohmann keeps whole numbers from 0 as unsigned; negative and fractional ones are not.
  if (!value.is_number_unsigned()) {
    fail_tensor(what, name,
                fmt::format("'{}' must hold whole numbers from 0, found {}", field,
                            value.is_number() ? value.dump() : value.type_name()));
  }
  return value.get<uint64_t>();
}

Shape read_shape(const Json& list, const std::string& what, const std::string& name) {
  if (!list.is_array()) fail_tensor(what, name, "'shape' must be a list");
  if (list.size() > static_cast<size_t>(Shape::kMaxRank)) {
    fail(ErrorCode::kUnsupported, "{}: tensor '{}': {} dimensions, at most {} are supported", what,
         name, list.size(), Shape::kMaxRank);
  }
  std::vector<int64_t> dims;
  for (const Json& dim : list) {
    const uint64_t value = whole_number(dim, what, name, "shape");
    if (value > uint64_t{INT64_MAX}) fail_tensor(what, name, "'shape' does not fit 64 bits");
    dims.push_back(static_cast<int64_t>(value));
  }
  return Shape(dims);
}

// product(shape) * size; a product that leaves 64 bits is refused even if a later zero follows.
uint64_t checked_bytes(const Shape& shape, DType dtype, const std::string& what,
                       const std::string& name) {
  uint64_t bytes = dtype_size(dtype);
  for (const int64_t dim : shape.dims()) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes) ||
        bytes > uint64_t{INT64_MAX}) {
      fail_tensor(
          what, name,
          fmt::format("shape {} of {} does not fit 64 bits", shape.to_string(), dtype_name(dtype)));
    }
  }
  return bytes;
}

SafetensorsEntry read_entry(const std::string& name, const Json& json, uint64_t data_size,
                            const std::string& what) {
  if (!json.is_object()) fail_tensor(what, name, "an object was wanted");
  for (const auto& item : json.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      fail_tensor(what, name, fmt::format("unknown field '{}'", item.key()));
    }
  }
  for (const char* field : {"dtype", "shape", "data_offsets"}) {
    if (!json.contains(field)) fail_tensor(what, name, fmt::format("'{}' is missing", field));
  }
  SafetensorsEntry entry;
  entry.name = name;
  const Json& dtype = json["dtype"];
  if (!dtype.is_string()) fail_tensor(what, name, "'dtype' must be a string");
  const auto& dtype_text = dtype.get_ref<const std::string&>();
  // parse_dtype also knows the long spellings, which a header may not use.
  if (!parse_dtype(dtype_text, entry.dtype) || dtype_name(entry.dtype) != dtype_text) {
    fail(ErrorCode::kUnsupported, "{}: tensor '{}': dtype '{}' is not known", what, name,
         dtype_text);
  }
  entry.shape = read_shape(json["shape"], what, name);
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) {
    fail_tensor(what, name, "'data_offsets' must be two numbers");
  }
  entry.begin = whole_number(offsets[0], what, name, "data_offsets");
  entry.end = whole_number(offsets[1], what, name, "data_offsets");
  if (entry.begin > entry.end || entry.end > data_size) {
    fail_tensor(what, name,
                fmt::format("data_offsets [{}, {}] must be in order and within the {} "
                            "bytes of data (is the file truncated?)",
                            entry.begin, entry.end, data_size));
  }
  const uint64_t wanted = checked_bytes(entry.shape, entry.dtype, what, name);
  if (wanted != entry.end - entry.begin) {
    fail_tensor(what, name,
                fmt::format("shape {} of {} needs {} bytes, data_offsets give {}",
                            entry.shape.to_string(), dtype_text, wanted, entry.end - entry.begin));
  }
  return entry;
}

void read_metadata(const Json& json, const std::string& what, SafetensorsHeader& header) {
  if (!json.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: '__metadata__' must be an object of strings", what);
  }
  for (const auto& item : json.items()) {
    if (!item.value().is_string()) {
      fail(ErrorCode::kCorrupt, "{}: '__metadata__' field '{}' must be a string", what, item.key());
    }
    header.metadata.emplace(item.key(), item.value().get<std::string>());
  }
}

void check_cover(const std::vector<SafetensorsEntry>& entries, uint64_t data_size,
                 const std::string& what) {
  uint64_t end = 0;
  std::string previous;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < end) {
      fail_tensor(what, entry.name, fmt::format("its bytes overlap those of '{}'", previous));
    }
    if (entry.begin > end) {
      fail_tensor(what, entry.name,
                  fmt::format("a hole of {} bytes lies before it", entry.begin - end));
    }
    end = entry.end;
    previous = entry.name;
  }
  if (end != data_size) {
    fail(ErrorCode::kCorrupt, "{}: the tensors cover {} of {} bytes of data", what, end, data_size);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_size,
                                           const std::string& what) {
  if (json.empty() || json.front() != '{') {
    fail(ErrorCode::kCorrupt, "{}: the safetensors header must begin with '{{'", what);
  }
  // Header, tensor, list: anything deeper is no safetensors header.
  const Json root = parse_json(json, what + ": header", {.max_depth = 3});
  SafetensorsHeader header;
  header.entries.reserve(root.size());
  for (const auto& item : root.items()) {
    if (item.key() == "__metadata__") {
      read_metadata(item.value(), what, header);
    } else {
      header.entries.push_back(read_entry(item.key(), item.value(), data_size, what));
    }
  }
  // Empty tensors share their neighbour's offset: by end too, they come before it.
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_cover(header.entries, data_size, what);
  return header;
}

}  // namespace glmoe
