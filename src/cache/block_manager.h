// Which KV blocks belong to which sequence. Host bookkeeping only: the memory is KvPool's.
//
// A block holds tokens_per_block consecutive positions of one sequence. The scheduler asks here
// before it plans; block tables travel to the executor inside StepPlan.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace glmoe {

using SequenceId = uint64_t;  // the same alias as in step/step.h, which this room may not include

class BlockManager {
 public:
  // Both at least 1; block numbers are 0..num_blocks-1.
  BlockManager(int64_t num_blocks, int64_t tokens_per_block);

  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t tokens_per_block() const { return tokens_per_block_; }
  // Blocks that `num_tokens` positions take.
  int64_t blocks_for(int64_t num_tokens) const;

  // Makes the sequence's table long enough for `num_tokens` positions. All or nothing: false, and
  // nothing changed, where too few blocks are free. A table never shrinks.
  bool reserve(SequenceId id, int64_t num_tokens);
  // Block i holds positions [i*P, (i+1)*P). Empty for an unknown sequence. Valid until the next
  // reserve or release.
  const std::vector<int32_t>& table(SequenceId id) const;
  // Gives all blocks of the sequence back; an unknown one is no error.
  void release(SequenceId id);

  // Throws kInternal unless every block is free or owned by one sequence, exactly once.
  void check() const;

 private:
  int64_t num_blocks_;
  int64_t tokens_per_block_;
  std::vector<int32_t> free_;  // a stack: the last one freed is the next one given
  std::unordered_map<SequenceId, std::vector<int32_t>> tables_;
};

}  // namespace glmoe
