// A step plan as arrays in device memory.
#pragma once

#include <cstdint>
#include <vector>

#include "gpu/cuda_objects.h"
#include "gpu/gpu_batch.h"
#include "step/step.h"

namespace glmoe {

struct StepInputLimits {
  int64_t max_rows = 0;       // T
  int64_t max_sequences = 0;  // S of one step
  int64_t max_blocks = 0;     // of one sequence
  int64_t tokens_per_block = 0;
};

// Host and device copies of one step's arrays. Steps that are captured in graphs have their arrays
// at fixed places; those of other steps lie close together, so that one copy carries them.
class StepInputs {
 public:
  explicit StepInputs(const StepInputLimits& limits);

  // The sizes are the plan's. Enqueues the copies; the plan may go, but the next call must wait
  // until the stream has come past them.
  GpuBatch upload(const StepPlan& plan, cudaStream_t stream);
  // A plan whose sequences have one row each, padded to `bucket` rows, at the fixed places.
  GpuBatch upload_decode(const StepPlan& plan, int bucket, cudaStream_t stream);
  // The batch of `bucket` rows at the fixed places, for capturing; nothing is copied.
  GpuBatch decode_batch(int bucket) const;

 private:
  struct Arrays;  // where each array begins, in numbers
  Arrays fixed_arrays() const;
  GpuBatch batch_at(const Arrays& arrays) const;

  StepInputLimits limits_;
  int64_t capacity_;  // numbers
  PinnedBuffer host_;
  DeviceBuffer device_;
};

}  // namespace glmoe
