// A step plan as arrays in device memory.
#pragma once

#include "gpu/cuda_objects.h"
#include "gpu/gpu_batch.h"
#include "gpu/step_layout.h"
#include "step/step.h"

namespace glmoe {

// Host and device copies of one step's arrays, laid out by step_layout.h.
class StepInputs {
 public:
  explicit StepInputs(const StepInputLimits& limits);

  // The sizes are the plan's. Enqueues the copies; the plan may go, but the next call must wait
  // until the stream has come past them.
  GpuBatch upload(const StepPlan& plan, cudaStream_t stream);
  // A plan whose sequences have one row each, padded to `bucket` rows, at the fixed places.
  void upload_decode(const StepPlan& plan, int bucket, cudaStream_t stream);
  // The batch of `bucket` rows at the fixed places, for capturing; nothing is copied.
  GpuBatch decode_batch(int bucket) const;

 private:
  const int32_t* device() const { return reinterpret_cast<const int32_t*>(device_.data()); }

  StepLayout layout_;
  PinnedBuffer host_;
  DeviceBuffer device_;
};

}  // namespace glmoe
