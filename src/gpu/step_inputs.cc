#include "gpu/step_inputs.h"

namespace glmoe {
namespace {

size_t bytes_of(int64_t numbers) { return static_cast<size_t>(numbers) * sizeof(int32_t); }

}  // namespace

StepInputs::StepInputs(const StepInputLimits& limits)
    : layout_(limits),
      host_(bytes_of(layout_.capacity())),
      device_(bytes_of(layout_.capacity()), "the step's arrays") {}

GpuBatch StepInputs::upload(const StepPlan& plan, cudaStream_t stream) {
  int64_t used = 0;
  const GpuBatch batch = layout_.fill(plan, host_.as<int32_t>(), device(), used);
  GLMOE_CUDA(cudaMemcpyAsync(device_.data(), host_.data(), bytes_of(used), cudaMemcpyHostToDevice,
                             stream));
  return batch;
}

GpuBatch StepInputs::decode_batch(int bucket) const {
  return layout_.decode_batch(bucket, device());
}

void StepInputs::upload_decode(const StepPlan& plan, int bucket, cudaStream_t stream) {
  const StepLayout::DecodeParts parts = layout_.fill_decode(plan, bucket, host_.as<int32_t>());
  GLMOE_CUDA(cudaMemcpyAsync(device_.data(), host_.data(), bytes_of(parts.tables),
                             cudaMemcpyHostToDevice, stream));
  const size_t pitch = bytes_of(parts.table_stride);
  const size_t offset = bytes_of(parts.tables);
  GLMOE_CUDA(cudaMemcpy2DAsync(device_.data() + offset, pitch, host_.data() + offset, pitch,
                               bytes_of(parts.columns), static_cast<size_t>(parts.num_tables),
                               cudaMemcpyHostToDevice, stream));
}

}  // namespace glmoe
