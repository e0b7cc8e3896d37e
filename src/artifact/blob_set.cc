#include "artifact/blob_set.h"

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
  const std::vector<RankBlob> blobs = list_rank_blobs(source.plan, one_rank, dtype);
  const BlobBuffer buffer =
      allocate_blobs(blobs, options.available_bytes, source.folder,
                     "free some, or build an engine of one rank, whose weights stay in its file");
  MemorySink sink(buffer.views);
  materialise(source, blobs, one_rank, sink, team, {}, options.progress);
  BlobSet set;
  set.config = source.plan.config;
  set.dtype = dtype;
  set.folder = source.folder;
  set.owners.push_back(buffer.memory);
  for (size_t b = 0; b < blobs.size(); ++b) {
    set.tensors[blobs[b].name] = buffer.views[b];
    set.num_bytes += blobs[b].num_bytes();
  }
  return set;
}

}  // namespace glmoe
