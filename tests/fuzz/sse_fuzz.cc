// Fuzz target: a server's stream as the client reads it. Mirrors: src/serve/client/sse_reader.cc,
// src/serve/client/chunk.cc.
//
// The first byte says in what pieces the rest comes: the events have to be those of the whole, and
// every event is read as a chunk; anything but a RequestFailed of the protocol is a finding.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/client/chunk.h"
#include "serve/client/failure.h"
#include "serve/client/sse_reader.h"

namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events read(std::string_view bytes, size_t piece) {
  Events events;
  glmoe::serve::SseReader reader(
      [&](std::string_view name, std::string_view data) { events.emplace_back(name, data); });
  for (size_t begin = 0; begin < bytes.size(); begin += piece) {
    reader.feed(bytes.substr(begin, piece));
  }
  reader.finish();
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Events whole = read(bytes, std::max<size_t>(bytes.size(), 1));
  if (read(bytes, size_t{data[0]} + 1) != whole) __builtin_trap();
  for (const auto& [name, text] : whole) {
    try {
      (void)glmoe::serve::parse_chunk(name, text);
    } catch (const glmoe::serve::RequestFailed& error) {
      if (error.failure().kind != glmoe::serve::FailureKind::kProtocol) __builtin_trap();
    }
  }
  return 0;
}
