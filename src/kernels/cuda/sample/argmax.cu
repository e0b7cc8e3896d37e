#include "kernels/cuda/sample/argmax.h"

#include <string>

#include "kernels/cuda/common/launch.cuh"
#include "kernels/cuda/sample/row_best.cuh"

namespace glmoe::cuda {
namespace {

// A cluster of blocks a row: their results meet in shared memory, without a second kernel.
template <int kBlocks, int kThreads>
__global__ void __cluster_dims__(kBlocks) __launch_bounds__(kThreads)
    argmax_kernel(const ArgmaxParams p) {
  __shared__ RowBestSpace space;
  const auto cluster = cooperative_groups::this_cluster();
  cluster.barrier_arrive();
  wait_for_earlier_kernels();
  let_next_kernel_start();
  const int row = blockIdx.x / kBlocks;
  const int thread = static_cast<int>(cluster.block_rank()) * kThreads + threadIdx.x;
  const RowBest own =
      stream_best(p.logits + row * p.row_stride, p.num_tokens, thread, kBlocks * kThreads);
  cluster.barrier_wait();  // all have begun: their shared memory may be written
  const RowBest best = cluster_best(cluster, own, space);
  if (thread != 0) return;
  const SampleOutcome outcome = row_outcome(best, best.id);
  p.outcomes[row] = outcome;
  if (p.next_row != nullptr && p.next_row[row] >= 0) {
    p.next_token_ids[p.next_row[row]] = outcome.token_id;
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "argmax: " + what);
}

void check_params(const ArgmaxParams& p) {
  if (p.num_rows < 0 || p.num_rows > kMaxArgmaxRows) {
    refuse("num_rows is " + std::to_string(p.num_rows) + ", wanted 0 to " +
           std::to_string(kMaxArgmaxRows));
  }
  if (p.num_tokens <= 0) {
    refuse("num_tokens is " + std::to_string(p.num_tokens) + ", wanted 1 or more");
  }
  if (p.row_stride < p.num_tokens || p.row_stride % 4 != 0) {
    refuse("row_stride is " + std::to_string(p.row_stride) +
           ", wanted a multiple of 4 that is at least num_tokens (" + std::to_string(p.num_tokens) +
           ")");
  }
  if ((p.next_row == nullptr) != (p.next_token_ids == nullptr)) {
    refuse("next_row and next_token_ids: give both or neither");
  }
  if (p.num_rows == 0) return;
  if (p.logits == nullptr) refuse("logits is null: wanted device memory");
  if (reinterpret_cast<uintptr_t>(p.logits) % 16 != 0) {
    refuse("logits is not aligned to 16 bytes: give it the start of a buffer");
  }
  if (p.outcomes == nullptr) refuse("outcomes is null: wanted device memory");
}

template <int kBlocks, int kThreads>
bool launched(const ArgmaxParams& p, const ArgmaxConfig& config, cudaStream_t stream) {
  if (config.blocks != kBlocks || config.threads != kThreads) return false;
  launch_kernel(argmax_kernel<kBlocks, kThreads>, dim3(static_cast<unsigned>(p.num_rows * kBlocks)),
                dim3(kThreads), 0, stream, p);
  return true;
}

}  // namespace

ArgmaxConfig argmax_config(int num_rows) {
  // Between, all blocks fit on the GPU at once if a row has only two, and 132 multiprocessors read
  // logits that are in the L2 as fast as more blocks could.
  return num_rows > 48 && num_rows <= 96 ? ArgmaxConfig{2, 512} : ArgmaxConfig{8, 512};
}

void launch_argmax(const ArgmaxParams& params, const ArgmaxConfig& config, cudaStream_t stream) {
  check_params(params);
  if (params.num_rows == 0) return;
  const bool known =
      launched<8, 512>(params, config, stream) || launched<4, 512>(params, config, stream) ||
      launched<2, 512>(params, config, stream) || launched<1, 1024>(params, config, stream);
  if (!known) {
    refuse("no kernel for " + std::to_string(config.blocks) + " blocks of " +
           std::to_string(config.threads) + " threads: see ArgmaxConfig");
  }
}

void launch_argmax(const ArgmaxParams& params, cudaStream_t stream) {
  launch_argmax(params, argmax_config(params.num_rows), stream);
}

}  // namespace glmoe::cuda
