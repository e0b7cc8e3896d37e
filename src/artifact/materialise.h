// Runs a TensorSource through the plan into the tensors of one or all ranks, in pieces of bounded
// memory, in parallel; where they go is the sink's business (memory, converted folder, engine).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "artifact/tensor_source.h"
#include "base/thread_team.h"

namespace glmoe {

// A tensor that a rank stores.
struct RankBlob {
  int64_t rank = 0;
  size_t tensor = 0;  // index in the plan
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;

  uint64_t num_bytes() const {
    return static_cast<uint64_t>(shape.num_elements()) * dtype_size(dtype);
  }
  uint64_t row_bytes() const {
    return static_cast<uint64_t>(matrix_cols(shape)) * dtype_size(dtype);
  }
};

// Everything that the ranks of a resolved mapping hold, rank by rank in the plan's order.
std::vector<RankBlob> list_rank_blobs(const WeightPlan& plan, const Mapping& mapping, DType dtype);

// Called from several threads at once, with different pieces.
class BlobSink {
 public:
  virtual ~BlobSink() = default;
  // Zeroed memory of the whole blob to be filled in place, or nullptr: pieces come to write().
  virtual std::byte* memory(size_t /*blob*/) { return nullptr; }
  // Whether this piece is there already from an earlier run.
  virtual bool has(size_t /*blob*/, uint64_t /*offset*/) const { return false; }
  virtual void write(size_t /*blob*/, uint64_t /*offset*/, std::span<const std::byte> /*bytes*/) {}
};

// bytes_done counts upwards to bytes_total; `name` is the tensor just finished in part or whole.
// Called by one thread at a time; an exception that it throws ends the work and is thrown again.
using ProgressCallback =
    std::function<void(uint64_t bytes_done, uint64_t bytes_total, const std::string& name)>;

struct MaterialiseOptions {
  uint64_t piece_bytes = uint64_t{16} << 20;  // at least a row
  // One thread takes a whole blob, its pieces in order (for checksums); else pieces are dealt out.
  bool blobs_in_order = false;
};

// Pieces are the same for the same blobs and piece_bytes, so that a journal can name them by
// offset.
void materialise(const TensorSource& source, const std::vector<RankBlob>& blobs,
                 const Mapping& mapping, BlobSink& sink, ThreadTeam& team,
                 const MaterialiseOptions& options, const ProgressCallback& progress);

// piece_bytes that keep `num_threads` threads within `max_host_memory` (0: no limit, the default
// size). Throws kInvalidArgument naming the least limit that would do.
uint64_t piece_bytes_within(uint64_t max_host_memory, int num_threads,
                            const std::vector<RankBlob>& blobs);

}  // namespace glmoe
