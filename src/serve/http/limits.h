// How much of everything one client may use. Every field has a flag of `glmoe serve`, an error and
// a test; docs/serving.md has the table.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace glmoe::serve {

struct HttpLimits {
  size_t max_body_bytes = size_t{32} << 20;          // 413
  size_t max_buffered_body_bytes = size_t{1} << 30;  // 503; of all requests together
  size_t max_header_line_bytes = size_t{16} << 10;   // 431; of the request line 414
  size_t max_header_bytes = size_t{64} << 10;        // 431, the whole head
  size_t max_headers = 100;                          // 431
  std::chrono::milliseconds header_timeout{10'000};  // 408, also for a TLS handshake
  std::chrono::milliseconds body_timeout{30'000};    // 408, and more for what has arrived:
  size_t min_body_bytes_per_s = 1024;                // a second for each so many bytes; 0: none
  std::chrono::milliseconds idle_timeout{30'000};    // between two requests; closed in silence
  std::chrono::milliseconds write_timeout{30'000};   // without progress: cut off and cancelled
  size_t max_unsent_bytes = size_t{1} << 20;         // of an event stream: the same
  std::chrono::milliseconds linger_timeout{1'000};   // after an early refusal, for the rest to come
  int64_t max_connections = 4096;                    // 503
  int64_t max_connections_per_address = 0;           // 503; 0: no limit
};

}  // namespace glmoe::serve
