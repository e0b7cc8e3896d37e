// The only place where environment variables are read. One table, one prefix, read once.
#pragma once

#include <cstdint>
#include <string>

#include "base/fault.h"

namespace glmoe::env {

struct Environment {
  std::string log_level = "info";  // GLMOE_LOG_LEVEL
  int64_t num_threads = 0;         // GLMOE_NUM_THREADS: default of --num_threads
  std::string cpu_target;          // GLMOE_CPU_TARGET: at most this instruction set (avx2, ...)
  std::string api_key;             // GLMOE_API_KEY: one more --api_key of the server
  std::string admin_api_key;       // GLMOE_ADMIN_API_KEY: default of --admin_api_key
  Fault fault;                     // GLMOE_FAULT: for tests (base/fault.h)
};

// Read at the first call. Throws kInvalidArgument naming the variable.
const Environment& get();

}  // namespace glmoe::env
