// Sends a load and measures it. One thread does everything; it also measures its own delay, so that
// a client that was too slow is not mistaken for a slow server.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "serve/client/http_client.h"
#include "serve/load/load_record.h"
#include "serve/load/statistics.h"
#include "serve/load/workload.h"

namespace glmoe::serve {

struct LoadOptions {
  double request_rate = 0.0;  // of an open loop, a second; 0: none, only `concurrency` limits
  double burstiness = 1.0;    // as ArrivalOptions has it
  int64_t concurrency = 0;    // open requests at most; 0: no limit
  int64_t num_requests = 0;   // 0: until duration_s has passed
  double duration_s = 0.0;    // no request is sent after it; 0: no limit
  int64_t warmup = 0;         // requests before, which are not measured
};

struct LoadProgress {
  int64_t sent = 0, finished = 0, failed = 0;
};

struct LoadOutcome {
  std::vector<LoadRecord> records;  // in the order of sending
  bool interrupted = false;
  std::string prompts;       // how they were made
  Distribution loop_lag_ms;  // how late the event loop came to a timer
  double cpu_share = 0.0;    // of one core, used by this process meanwhile
};

// Blocks until all is sent and answered, or `stop` is true: then what is open ends as cancelled.
// Throws RequestFailed where the prompts cannot be made, and what Workload throws. `progress` is
// called about once a second.
LoadOutcome run_load(const HttpClientOptions& client, const WorkloadOptions& workload,
                     const LoadOptions& options, const std::atomic<bool>& stop,
                     const std::function<void(const LoadProgress&)>& progress);

}  // namespace glmoe::serve
