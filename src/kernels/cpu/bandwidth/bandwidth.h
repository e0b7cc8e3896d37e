// What the machine can do at best: bytes read from memory and multiplications a second. Benches
// state their results as a share of these, measured in the same run with the same threads.
#pragma once

#include <cstddef>

#include "base/thread_team.h"

namespace glmoe {

// Gigabytes (1e9) a second that the team reads from a buffer of `bytes` on huge pages, in order:
// the best of several passes and prefetch distances. The buffer should be far larger than the
// caches; it is freed again. Throws kOutOfMemory.
double measure_read_bandwidth(ThreadTeam& team, size_t bytes);

// 1e9 floating-point operations a second (a fused multiply-add is two) that the team reaches in
// F32 with the widest vectors of the target in use, without touching memory.
double measure_fma_peak(ThreadTeam& team);

}  // namespace glmoe
