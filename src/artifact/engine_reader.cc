#include "artifact/engine_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "artifact/checksum.h"
#include "artifact/rank_source.h"
#include "base/check.h"
#include "base/error.h"

namespace glmoe {
namespace {

// The hash state lives outside the guard and the guarded part owns nothing.
std::string guarded_checksum(const std::string& what, std::span<const std::byte> bytes) {
  ChecksumStream stream;
  struct Slice {
    ChecksumStream* stream;
    std::span<const std::byte> bytes;
  };
  constexpr size_t kSlice = size_t{16} << 20;
  for (size_t at = 0; at < bytes.size(); at += kSlice) {
    Slice slice{&stream, bytes.subspan(at, std::min(kSlice, bytes.size() - at))};
    with_bus_error_guard(
        what,
        [](void* argument) {
          auto& job = *static_cast<Slice*>(argument);
          job.stream->update(job.bytes);
        },
        &slice);
  }
  return stream.hex();
}

std::vector<RankViews> rank_views(const ArtifactReader& reader) {
  std::vector<RankViews> ranks;
  for (size_t rank = 0; rank < reader.manifest().ranks.size(); ++rank) {
    RankViews& views = ranks.emplace_back();
    for (const EngineBlob& blob : reader.manifest().ranks[rank].blobs) {
      views[blob.name] = reader.view(rank, blob);
    }
  }
  return ranks;
}

}  // namespace

ArtifactReader::ArtifactReader(const std::string& folder)
    : folder_(folder),
      manifest_(read_manifest(folder)),
      files_(std::make_shared<std::vector<MappedFile>>()) {
  std::vector<std::string> reasons;
  for (const EngineRank& rank : manifest_.ranks) {
    try {
      const MappedFile& file = files_->emplace_back(folder + "/" + rank.file);
      if (file.bytes().size() != rank.size) {
        reasons.push_back(fmt::format("{}: {} bytes were wanted, found {}", rank.file, rank.size,
                                      file.bytes().size()));
      }
    } catch (const Error& error) {
      reasons.push_back(error.what());
      files_->emplace_back();
    }
  }
  for (const EngineFile& file : manifest_.files) {
    try {
      const MappedFile mapped(folder + "/" + file.name);
      if (mapped.bytes().size() != file.size) {
        reasons.push_back(fmt::format("{}: {} bytes were wanted, found {}", file.name, file.size,
                                      mapped.bytes().size()));
      }
    } catch (const Error& error) {
      reasons.push_back(error.what());
    }
  }
  try {
    manifest_.config.validate_mapping(manifest_.mapping);
    source_from_ranks(manifest_.config, manifest_.mapping, manifest_.dtype, rank_views(*this),
                      reasons);
  } catch (const Error& error) {
    reasons.push_back(error.what());
  }
  fail_with_reasons(ErrorCode::kCorrupt, folder + ": this engine cannot be loaded", reasons);
}

TensorView ArtifactReader::view(size_t rank, const EngineBlob& blob) const {
  const std::byte* data = (*files_)[rank].bytes().data() + blob.offset;
  return {const_cast<std::byte*>(data), blob.dtype, blob.shape};
}

void ArtifactReader::verify_blobs(ThreadTeam& team) const {
  struct Item {
    std::string what;
    std::span<const std::byte> bytes;
    const std::string* wanted;
  };
  std::vector<Item> items;
  std::vector<MappedFile> companions;
  for (const EngineFile& file : manifest_.files) companions.emplace_back(folder_ + "/" + file.name);
  for (size_t i = 0; i < companions.size(); ++i) {
    const EngineFile& file = manifest_.files[i];
    items.push_back({folder_ + "/" + file.name, companions[i].bytes(), &file.checksum});
  }
  for (size_t rank = 0; rank < manifest_.ranks.size(); ++rank) {
    for (const EngineBlob& blob : manifest_.ranks[rank].blobs) {
      items.push_back({fmt::format("{}: blob {}", manifest_.ranks[rank].file, blob.name),
                       (*files_)[rank].bytes().subspan(blob.offset, blob.size), &blob.checksum});
    }
  }
  std::vector<std::string> reasons;
  std::mutex mutex;
  team.parallel_for(static_cast<int64_t>(items.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Item& item = items[static_cast<size_t>(i)];
      const std::string found = guarded_checksum(item.what, item.bytes);
      if (found == *item.wanted) continue;
      const std::lock_guard lock(mutex);
      reasons.push_back(
          fmt::format("{}: checksum {} was wanted, found {}", item.what, *item.wanted, found));
    }
  });
  if (manifest_.checksum_said != manifest_.checksum_found) {
    reasons.push_back(fmt::format("manifest.json: checksum {} was wanted, found {}",
                                  manifest_.checksum_said, manifest_.checksum_found));
  }
  std::sort(reasons.begin(), reasons.end());
  fail_with_reasons(ErrorCode::kCorrupt, folder_ + ": content has changed since it was built",
                    reasons);
}

TensorSource ArtifactReader::source() const {
  std::vector<std::string> reasons;
  TensorSource source = source_from_ranks(manifest_.config, manifest_.mapping, manifest_.dtype,
                                          rank_views(*this), reasons);
  GLMOE_CHECK(reasons.empty());
  source.folder = folder_;
  source.kind = "engine";
  source.fingerprint = manifest_.source_fingerprint;
  source.owner = files_;
  source.release = [files = files_.get()](const SourcePiece& piece) {
    const auto size = static_cast<size_t>((piece.num_rows - 1) * piece.stride + piece.num_cols) *
                      dtype_size(piece.dtype);
    for (const MappedFile& file : *files) {
      const auto bytes = file.bytes();
      if (piece.data < bytes.data() || piece.data >= bytes.data() + bytes.size()) continue;
      file.dont_need(static_cast<size_t>(piece.data - bytes.data()), size);
    }
  };
  return source;
}

BlobSet ArtifactReader::mapped_blobs() const {
  GLMOE_CHECK_EQ(manifest_.ranks.size(), size_t{1});
  BlobSet set;
  set.config = manifest_.config;
  set.dtype = manifest_.dtype;
  set.folder = folder_;
  set.owners.push_back(files_);
  for (const EngineBlob& blob : manifest_.ranks[0].blobs) {
    set.tensors[blob.name] = view(0, blob);
    set.num_bytes += blob.size;
  }
  return set;
}

}  // namespace glmoe
