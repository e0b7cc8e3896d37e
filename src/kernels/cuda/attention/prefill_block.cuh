// What attention_prefill.cu and its kernels share: which rows a block takes, and in what order.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/attention/attention_prefill.h"
#include "kernels/cuda/attention/kv_tiles.cuh"

namespace glmoe::cuda {

struct PrefillKernelParams {
  AttentionPrefillParams p;
  KvCacheShape cache;
  int group;               // query heads of a KV head
  unsigned group_inverse;  // 2^32 / group, rounded up; 0 for a group of one
  int64_t qkv_width;
  float score_scale;  // D^-0.5 * log2(e): softmax in powers of two
};

// row / group, for rows below 2^26 or so.
__device__ inline int token_of_row(const PrefillKernelParams& k, int row) {
  return k.group_inverse == 0 ? row : static_cast<int>(__umulhi(row, k.group_inverse));
}

// Query rows of a KV head are numbered through: token * group + head in the group. A block of work
// is kPrefillRows of them, from first_row on, of one sequence and KV head.
inline constexpr int kPrefillRows = 128;

struct PrefillBlock {
  int sequence, kv_head;
  int first_row;
  int row_begin, num_rows, kv_len;  // of the sequence
  int first_position;               // the last token that the block's first row sees
  int num_tiles;                    // of `tile` tokens from 0 on; 0: there is no more work
};

// Blocks of all sequences lie end to end: within a sequence those with the longest contexts first,
// all KV heads of the same rows together. Thread blocks take them in turn, to and fro, so that none
// always has the longest of a round.
struct PrefillWork {
  const int* blocks_before;  // [S + 1]: blocks of a KV head of the sequences before
  int round = 0;

  __device__ static int num_blocks(const PrefillKernelParams& k, int num_rows) {
    return (max(num_rows, 0) * k.group + kPrefillRows - 1) / kPrefillRows;
  }
  // One warp fills blocks_before.
  __device__ static void count(const PrefillKernelParams& k, int* before) {
    const int lane = threadIdx.x % 32;
    int carried = 0;
    if (lane == 0) before[0] = 0;
#pragma unroll 1
    for (int first = 0; first < k.p.num_sequences; first += 32) {
      const int sequence = first + lane;
      int sum = sequence < k.p.num_sequences ? num_blocks(k, k.p.num_rows[sequence]) : 0;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const int other = __shfl_up_sync(0xffffffffu, sum, distance);
        if (lane >= distance) sum += other;
      }
      if (sequence < k.p.num_sequences) before[sequence + 1] = carried + sum;
      carried += __shfl_sync(0xffffffffu, sum, 31);
    }
  }

  // The next block of this thread block.
  __device__ PrefillBlock next(const PrefillKernelParams& k, int tile) {
    PrefillBlock block{};
    const int heads = k.p.heads.num_kv_heads;
    const int turn = round % 2 == 0 ? blockIdx.x : gridDim.x - 1 - blockIdx.x;
    const int index = round * gridDim.x + turn;
    ++round;
    const int in_head = index / heads;
    if (in_head >= blocks_before[k.p.num_sequences]) return block;
    int low = 0, high = k.p.num_sequences;  // blocks_before[low] <= in_head < blocks_before[high]
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (blocks_before[middle] <= in_head ? low : high) = middle;
    }
    block.sequence = low;
    block.kv_head = index - in_head * heads;
    block.num_rows = k.p.num_rows[low];
    block.kv_len = k.p.kv_len[low];
    block.row_begin = k.p.row_begin[low];
    block.first_row = (blocks_before[low + 1] - 1 - in_head) * kPrefillRows;
    const int last_row = min(block.first_row + kPrefillRows, block.num_rows * k.group) - 1;
    block.first_position = block.kv_len - block.num_rows + token_of_row(k, block.first_row);
    block.num_tiles = (block.kv_len - block.num_rows + token_of_row(k, last_row)) / tile + 1;
    return block;
  }
};

// Enqueues the kernel on a grid of `num_sms` blocks (attention_prefill_wgmma.cu).
void launch_prefill_wgmma(const PrefillKernelParams& k, const CUtensorMap& map, ElementType type,
                          int num_sms, cudaStream_t stream);

}  // namespace glmoe::cuda
