#include "artifact/blob_set.h"

#include <cstdint>
#include <span>
#include <utility>

#include "base/error.h"

namespace glmoe {
namespace {

constexpr uint64_t kBlobAlignment = 4096;  // a page

class MemorySink final : public BlobSink {
 public:
  explicit MemorySink(const std::vector<TensorView>& views) : views_(views) {}
  std::byte* memory(size_t blob) override { return views_[blob].as<std::byte>(); }

 private:
  const std::vector<TensorView>& views_;
};

// Where the whole tensor lies row after row, of its final type; nullptr where it does not.
const std::byte* in_place(std::span<const SourcePiece> pieces, const RankBlob& blob) {
  const int64_t rows = matrix_rows(blob.shape);
  const int64_t cols = matrix_cols(blob.shape);
  const auto size = static_cast<int64_t>(dtype_size(blob.dtype));
  const std::byte* base = nullptr;
  int64_t found_rows = 0;
  for (const SourcePiece& piece : pieces) {
    const std::byte* from = piece.data - (piece.matrix * rows + piece.row) * cols * size;
    if (base == nullptr) base = from;
    if (piece.dtype != blob.dtype || piece.stride != cols || piece.col != 0 ||
        piece.num_cols != cols || from != base) {
      return nullptr;
    }
    found_rows += piece.num_rows;
  }
  const bool aligned = reinterpret_cast<uintptr_t>(base) % static_cast<uintptr_t>(size) == 0;
  return found_rows == flat_rows(blob.shape) && aligned ? base : nullptr;
}

}  // namespace

BlobBuffer allocate_blobs(const std::vector<RankBlob>& blobs, uint64_t available_bytes,
                          const std::string& what, const std::string& remedy) {
  uint64_t size = 0;
  std::vector<uint64_t> offsets;
  for (const RankBlob& blob : blobs) {
    offsets.push_back(size);
    size += (blob.num_bytes() + kBlobAlignment - 1) / kBlobAlignment * kBlobAlignment;
  }
  if (size > available_bytes) {
    fail(ErrorCode::kOutOfMemory, "{}: the weights need {} bytes of memory, {} are available: {}",
         what, size, available_bytes, remedy);
  }
  BlobBuffer result{std::make_shared<Buffer>(size), {}};
  for (size_t b = 0; b < blobs.size(); ++b) {
    result.views.push_back({result.memory->data() + offsets[b], blobs[b].dtype, blobs[b].shape});
  }
  return result;
}

BlobSet load_to_memory(const TensorSource& whole, DType dtype, ThreadTeam& team,
                       const MemoryLoadOptions& options) {
  const TensorSource source = options.include_mtp ? whole : without_mtp(whole);
  const Mapping one_rank = Mapping{}.resolved();
  BlobSet set;
  std::vector<RankBlob> blobs;  // to be copied
  for (RankBlob& blob : list_rank_blobs(source.plan, one_rank, dtype)) {
    set.num_bytes += blob.num_bytes();
    const std::byte* there = options.borrow ? in_place(source.pieces[blob.tensor], blob) : nullptr;
    if (there == nullptr) {
      blobs.push_back(std::move(blob));
      continue;
    }
    set.num_borrowed_bytes += blob.num_bytes();
    // Nobody writes to weights.
    set.tensors[blob.name] = {const_cast<std::byte*>(there), blob.dtype, blob.shape};
  }
  if (set.num_borrowed_bytes > 0) set.owners.push_back(source.owner);
  const BlobBuffer buffer =
      allocate_blobs(blobs, options.available_bytes, source.folder,
                     "free some, or build an engine of one rank, whose weights stay in its file");
  MemorySink sink(buffer.views);
  materialise(source, blobs, one_rank, sink, team, {}, options.progress);
  set.config = source.plan.config;
  set.dtype = dtype;
  set.folder = source.folder;
  set.owners.push_back(buffer.memory);
  for (size_t b = 0; b < blobs.size(); ++b) {
    set.tensors[blobs[b].name] = buffer.views[b];
  }
  return set;
}

}  // namespace glmoe
