#include "kernels/cuda/embedding/embedding.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <climits>
#include <string>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/common/vector_io.cuh"

namespace glmoe::cuda {
namespace {

constexpr int kMaxHidden = 32768;
// Values a thread widens at a time: 16 bytes out, so that a warp's stores are whole lines.
constexpr int kQuad = 4;
constexpr int kQuadsPerThread = 4;  // loads in flight
constexpr int kMaxThreads = 512;

template <class T>
struct alignas(8) QuadOf {
  typename PairOf<T>::Type pairs[kQuad / 2];
};

// One block a row and kMaxThreads * kQuadsPerThread quads of it (gridDim.y blocks a row).
template <class T>
__global__ void embedding_kernel(const EmbeddingParams p) {
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int64_t row = blockIdx.x;
  const int id = p.token_ids[row];
  const bool inside = id >= 0 && id < p.vocab_size;
  const int num_quads = p.hidden_size / kQuad;
  const QuadOf<T>* from =
      reinterpret_cast<const QuadOf<T>*>(p.table) + (inside ? id : 0) * int64_t{num_quads};
  float4* to = reinterpret_cast<float4*>(p.out) + row * num_quads;
  const int first = blockIdx.y * blockDim.x * kQuadsPerThread + threadIdx.x;
  QuadOf<T> quads[kQuadsPerThread];
#pragma unroll
  for (int i = 0; i < kQuadsPerThread; ++i) {
    const int at = first + i * blockDim.x;
    if (inside && at < num_quads) quads[i] = from[at];
  }
#pragma unroll
  for (int i = 0; i < kQuadsPerThread; ++i) {
    const int at = first + i * blockDim.x;
    if (at >= num_quads) continue;
    const float2 low = PairOf<T>::widen(quads[i].pairs[0]);
    const float2 high = PairOf<T>::widen(quads[i].pairs[1]);
    to[at] = inside ? make_float4(low.x, low.y, high.x, high.y) : make_float4(0, 0, 0, 0);
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "embedding: " + what);
}

void check_pointer(const char* name, const void* pointer, size_t alignment) {
  if (pointer == nullptr) refuse(std::string(name) + " is null: wanted device memory");
  if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0) {
    refuse(std::string(name) + " is not aligned to " + std::to_string(alignment) +
           " bytes: give it the start of a buffer");
  }
}

void check_params(const EmbeddingParams& p) {
  if (p.hidden_size <= 0 || p.hidden_size % kChunk != 0 || p.hidden_size > kMaxHidden) {
    refuse("hidden_size is " + std::to_string(p.hidden_size) +
           ", wanted a multiple of 8 from 8 to " + std::to_string(kMaxHidden));
  }
  if (p.vocab_size <= 0) {
    refuse("vocab_size is " + std::to_string(p.vocab_size) + ", wanted 1 or more");
  }
  if (p.num_tokens < 0 || p.num_tokens > INT_MAX) {
    refuse("num_tokens is " + std::to_string(p.num_tokens) + ", wanted 0 to 2147483647");
  }
  if (p.table_type == ElementType::kF32) {
    refuse("table_type is float32, wanted bfloat16 or float16");
  }
  if (p.num_tokens == 0) return;
  check_pointer("token_ids", p.token_ids, sizeof(int32_t));
  check_pointer("table", p.table, 16);
  check_pointer("out", p.out, 16);
}

}  // namespace

void launch_embedding(const EmbeddingParams& params, cudaStream_t stream) {
  check_params(params);
  if (params.num_tokens == 0) return;
  const int num_quads = params.hidden_size / kQuad;
  const int wanted = (num_quads + kQuadsPerThread - 1) / kQuadsPerThread;
  const int threads = wanted > kMaxThreads ? kMaxThreads : (wanted + 31) / 32 * 32;
  const int per_block = threads * kQuadsPerThread;
  const dim3 grid(static_cast<unsigned>(params.num_tokens),
                  static_cast<unsigned>((num_quads + per_block - 1) / per_block));
  const dim3 block(static_cast<unsigned>(threads));
  if (params.table_type == ElementType::kBf16) {
    launch_kernel(embedding_kernel<__nv_bfloat16>, grid, block, 0, stream, params);
  } else {
    launch_kernel(embedding_kernel<__half>, grid, block, 0, stream, params);
  }
}

}  // namespace glmoe::cuda
