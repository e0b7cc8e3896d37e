#include "artifact/materialise.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "base/check.h"

namespace glmoe {
namespace {

// Flat rows [begin, end) of a blob.
struct Piece {
  size_t blob;
  int64_t begin, end;
};

std::vector<Piece> cut(const std::vector<RankBlob>& blobs, uint64_t piece_bytes) {
  std::vector<Piece> pieces;
  for (size_t b = 0; b < blobs.size(); ++b) {
    const int64_t rows = flat_rows(blobs[b].shape);
    const auto step = static_cast<int64_t>(
        std::max<uint64_t>(1, piece_bytes / std::max<uint64_t>(1, blobs[b].row_bytes())));
    for (int64_t begin = 0; begin < rows; begin += step) {
      pieces.push_back({b, begin, std::min(rows, begin + step)});
    }
  }
  return pieces;
}

class Materialiser {
 public:
  Materialiser(const TensorSource& source, const std::vector<RankBlob>& blobs,
               const Mapping& mapping, BlobSink& sink, const MaterialiseOptions& options,
               const ProgressCallback& progress)
      : source_(source),
        blobs_(blobs),
        mapping_(mapping),
        sink_(sink),
        options_(options),
        progress_(progress),
        pieces_(cut(blobs, options.piece_bytes)) {
    for (const RankBlob& blob : blobs) total_ += blob.num_bytes();
    for (size_t p = 0; p < pieces_.size(); ++p) {
      const bool starts = p == 0 || pieces_[p].blob != pieces_[p - 1].blob;
      if (starts || !options.blobs_in_order) groups_.push_back(p);
    }
  }

  void run(ThreadTeam& team) {
    team.run([this](int) {
      std::vector<std::byte> scratch;
      for (;;) {
        const size_t group = next_.fetch_add(1);
        if (group >= groups_.size() || stop_.load()) return;
        const size_t end = group + 1 < groups_.size() ? groups_[group + 1] : pieces_.size();
        try {
          for (size_t p = groups_[group]; p < end; ++p) one(pieces_[p], scratch);
        } catch (...) {
          stop_.store(true);
          throw;
        }
      }
    });
  }

 private:
  void one(const Piece& piece, std::vector<std::byte>& scratch) {
    const RankBlob& blob = blobs_[piece.blob];
    const uint64_t offset = static_cast<uint64_t>(piece.begin) * blob.row_bytes();
    const uint64_t size = static_cast<uint64_t>(piece.end - piece.begin) * blob.row_bytes();
    if (!sink_.has(piece.blob, offset)) {
      const LogicalTensor& tensor = source_.plan.tensors[blob.tensor];
      const auto slices = source_.plan.rank_slices(tensor, mapping_.at_rank(blob.rank));
      const auto& sources = source_.pieces[blob.tensor];
      std::byte* target = sink_.memory(piece.blob);
      if (target != nullptr) {
        fill_rows(tensor, sources, slices, blob.shape, blob.dtype, piece.begin, piece.end,
                  target + offset);
      } else {
        if (scratch.size() < size) scratch.resize(size);
        if (leaves_holes(slices, blob.shape)) std::memset(scratch.data(), 0, size);
        fill_rows(tensor, sources, slices, blob.shape, blob.dtype, piece.begin, piece.end,
                  scratch.data());
        sink_.write(piece.blob, offset, {scratch.data(), size});
      }
      if (source_.release) release(sources, slices, blob.shape, piece);
    }
    const std::lock_guard lock(progress_mutex_);
    done_ += size;
    if (progress_) progress_(done_, total_, blob.name);
  }

  // Gives back what this piece read. A neighbour that still reads the same source only faults the
  // pages in again from the page cache.
  void release(const std::vector<SourcePiece>& sources, const std::vector<SliceCopy>& slices,
               const Shape& shape, const Piece& piece) const {
    const int64_t rows = matrix_rows(shape);
    for (const SliceCopy& slice : slices) {
      const int64_t begin = slice.target_matrix * rows + slice.target_row;
      if (begin >= piece.end || begin + slice.num_rows <= piece.begin) continue;
      for (const SourcePiece& source : sources) {
        if (source.matrix == slice.source_matrix) source_.release(source);
      }
    }
  }

  const TensorSource& source_;
  const std::vector<RankBlob>& blobs_;
  const Mapping& mapping_;
  BlobSink& sink_;
  const MaterialiseOptions& options_;
  const ProgressCallback& progress_;
  const std::vector<Piece> pieces_;
  std::vector<size_t> groups_;  // first piece of each
  std::atomic<size_t> next_{0};
  std::atomic<bool> stop_{false};
  std::mutex progress_mutex_;
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace

std::vector<RankBlob> list_rank_blobs(const WeightPlan& plan, const Mapping& mapping, DType dtype) {
  std::vector<RankBlob> blobs;
  for (int64_t rank = 0; rank < mapping.world_size; ++rank) {
    const Mapping here = mapping.at_rank(rank);
    for (size_t t = 0; t < plan.tensors.size(); ++t) {
      const LogicalTensor& tensor = plan.tensors[t];
      const Shape shape = plan.rank_shape(tensor, here);
      if (shape.rank() == 0) continue;
      blobs.push_back({rank, t, tensor.name, stored_dtype(tensor, dtype), shape});
    }
  }
  return blobs;
}

void materialise(const TensorSource& source, const std::vector<RankBlob>& blobs,
                 const Mapping& mapping, BlobSink& sink, ThreadTeam& team,
                 const MaterialiseOptions& options, const ProgressCallback& progress) {
  GLMOE_CHECK_EQ(source.pieces.size(), source.plan.tensors.size());
  Materialiser(source, blobs, mapping, sink, options, progress).run(team);
}

uint64_t piece_bytes_within(uint64_t max_host_memory, int num_threads,
                            const std::vector<RankBlob>& blobs) {
  const MaterialiseOptions defaults;
  if (max_host_memory == 0) return defaults.piece_bytes;
  // A thread holds a piece, and as source pages up to twice its size (float32 into 16 bits).
  constexpr uint64_t kSharesPerPiece = 3;
  constexpr uint64_t kLeastPiece = uint64_t{64} << 10;
  uint64_t longest_row = kLeastPiece;
  for (const RankBlob& blob : blobs) longest_row = std::max(longest_row, blob.row_bytes());
  const uint64_t shares = kSharesPerPiece * static_cast<uint64_t>(num_threads);
  if (max_host_memory / shares < longest_row) {
    fail_argument("--max_host_memory {} bytes is too small for {} workers: at least {} are needed",
                  max_host_memory, num_threads, longest_row * shares);
  }
  return std::min(defaults.piece_bytes, max_host_memory / shares);
}

}  // namespace glmoe
