// A step plan as arrays of 32-bit numbers: which array lies where, and what stands in it. Host
// logic only, so that it can be tested without a GPU; step_inputs.h carries the arrays there.
#pragma once

#include <cstdint>

#include "gpu/gpu_batch.h"
#include "step/step.h"

namespace glmoe {

struct StepInputLimits {
  int64_t max_rows = 0;       // T
  int64_t max_sequences = 0;  // S of one step
  int64_t max_blocks = 0;     // of one sequence
  int64_t tokens_per_block = 0;
};

// Steps that are captured in graphs have their arrays at fixed places; those of other steps lie
// close together, so that one copy carries them. In all functions `host` is written, and the
// batch's addresses lie in `device`, at the same places.
class StepLayout {
 public:
  explicit StepLayout(const StepInputLimits& limits);

  int64_t capacity() const { return capacity_; }  // numbers that `host` and `device` hold

  // Any plan within the limits; `used` numbers were written.
  GpuBatch fill(const StepPlan& plan, int32_t* host, const int32_t* device, int64_t& used) const;

  // What a decode step wrote: everything before the tables, and of each table the first columns.
  struct DecodeParts {
    int64_t tables = 0;  // where they begin
    int64_t num_tables = 0;
    int64_t table_stride = 0;
    int64_t columns = 0;
  };
  // A plan whose sequences have one row each, padded to `bucket` rows, at the fixed places.
  DecodeParts fill_decode(const StepPlan& plan, int bucket, int32_t* host) const;
  // The batch of `bucket` rows at the fixed places.
  GpuBatch decode_batch(int bucket, const int32_t* device) const;

 private:
  struct Arrays;  // where each array begins, in numbers
  Arrays fixed_arrays() const;
  static GpuBatch batch_at(const Arrays& arrays, const int32_t* device);

  StepInputLimits limits_;
  int64_t capacity_;
};

}  // namespace glmoe
