// Reads a stretch of device memory once: what it takes is the ceiling of all work that streams
// weights or a KV cache.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace glmoe::cuda {

// Enqueues one kernel: *checksum ^= the XOR of the `num_bytes` / 4 32-bit words at `from`
// (16-byte aligned device memory, num_bytes a multiple of 16). Throws Error{kInvalidArgument} for
// others. 0 bytes do nothing.
void launch_read_all(const void* from, size_t num_bytes, uint32_t* checksum, int num_sms,
                     cudaStream_t stream);

}  // namespace glmoe::cuda
