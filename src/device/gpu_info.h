// Which GPUs there are, or why there is none. A build without CUDA has this too and says so, so
// that callers need no #if: nothing of CUDA shows in this header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace glmoe {

struct GpuInfo {
  int index = 0;  // CUDA's number of the device, within CUDA_VISIBLE_DEVICES
  std::string name;
  int compute_major = 0;  // compute capability; 9.0 is Hopper
  int compute_minor = 0;
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;
  int sm_count = 0;
  std::string driver_version;   // the newest CUDA that the driver serves, "13.0"
  std::string runtime_version;  // the CUDA runtime in this program, "13.0"
};

// Either `gpus` is not empty, or `reason` says why it is.
struct GpuQuery {
  std::vector<GpuInfo> gpus;
  std::string reason;
};

// Asks the driver each time: free_bytes is current, and the first call on a machine with GPUs
// starts a context on each (some 100 ms). Leaves the calling thread's current device as it was.
// Never throws for a missing or failing GPU.
GpuQuery query_gpus();

// Why there is no GPU for us, or "" where there is one.
std::string why_no_gpu();

}  // namespace glmoe
