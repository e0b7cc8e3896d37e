#include "gpu/gpu_product.h"

#include "gpu/gpu_choices.h"
#include "kernels/cuda/moe/silu_mul.h"

namespace glmoe {
namespace {

int64_t out_stride(const GpuProduct& product) {
  if (product.out_stride != 0) return product.out_stride;
  return product.epilogue == cuda::StreamEpilogue::kSwiglu ? product.w.rows / 2 : product.w.rows;
}

}  // namespace

void launch_streamed_product(const GpuProduct& product, cuda::ElementType type, int num_sms,
                             cudaStream_t stream) {
  cuda::StreamGemmParams p;
  p.x = product.x;
  p.w = product.w.data;
  p.out = product.out;
  p.bias = product.bias;
  p.type = type;
  p.epilogue = product.epilogue;
  p.num_rows = product.num_rows;
  p.out_size = static_cast<int>(product.w.rows);
  p.in_size = static_cast<int>(product.w.cols);
  p.x_stride = product.w.cols;
  p.out_stride = out_stride(product);
  cuda::launch_stream_gemm(p, num_sms, stream);
}

void launch_library_product(const GpuProduct& product, cuda::ElementType type,
                            cuda::DenseGemm& gemm, void* scratch, cudaStream_t stream) {
  using cuda::StreamEpilogue;
  const bool swiglu = product.epilogue == StreamEpilogue::kSwiglu;
  cuda::DenseGemmParams p;
  p.x = product.x;
  p.w = product.w.data;
  p.out = swiglu ? scratch : product.out;
  p.bias = product.bias_16;
  p.type = type;
  p.accumulate = product.epilogue == StreamEpilogue::kAddF32;
  const bool wide_middle = swiglu && product.num_rows <= kMaxWideRows;
  p.wide = p.accumulate || product.epilogue == StreamEpilogue::kStoreF32 || wide_middle;
  p.num_rows = product.num_rows;
  p.out_size = product.w.rows;
  p.in_size = product.w.cols;
  p.x_stride = product.w.cols;
  p.out_stride = swiglu ? product.w.rows : out_stride(product);
  gemm.run(p, stream);
  if (!swiglu) return;
  cuda::SiluMulParams silu;
  silu.gate_up = scratch;
  silu.out = product.out;
  silu.in_type = wide_middle ? cuda::ElementType::kF32 : type;
  silu.out_type = type;
  silu.num_rows = product.num_rows;
  silu.width = static_cast<int>(product.w.rows / 2);
  silu.interleave = cuda::kGateUpBy8;
  cuda::launch_silu_mul(silu, stream);
}

}  // namespace glmoe
