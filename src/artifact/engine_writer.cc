#include "artifact/engine_writer.h"

#include <mutex>

#include "artifact/checksum.h"
#include "artifact/manifest.h"
#include "artifact/output_folder.h"
#include "base/check.h"
#include "base/file.h"

namespace glmoe {
namespace {

uint64_t align_up(uint64_t bytes) {
  return (bytes + kEngineBlobAlignment - 1) / kEngineBlobAlignment * kEngineBlobAlignment;
}

class EngineSink final : public BlobSink {
 public:
  EngineSink(const std::string& folder, const std::vector<RankBlob>& blobs, int64_t num_ranks)
      : blobs_(blobs), streams_(blobs.size()), checksums_(blobs.size()) {
    sizes_.resize(static_cast<size_t>(num_ranks));
    for (const RankBlob& blob : blobs) {
      uint64_t& size = sizes_[static_cast<size_t>(blob.rank)];
      offsets_.push_back(align_up(size));
      size = offsets_.back() + blob.num_bytes();
    }
    for (int64_t rank = 0; rank < num_ranks; ++rank) {
      files_.emplace_back(folder + "/" + rank_file_name(rank));
      files_.back().allocate(sizes_[static_cast<size_t>(rank)]);
    }
  }

  // A blob's pieces come in order and from one thread (MaterialiseOptions::blobs_in_order).
  void write(size_t blob, uint64_t offset, std::span<const std::byte> bytes) override {
    if (offset == 0) streams_[blob] = std::make_unique<ChecksumStream>();
    streams_[blob]->update(bytes);
    files_[static_cast<size_t>(blobs_[blob].rank)].write_at(offsets_[blob] + offset, bytes);
    if (offset + bytes.size() == blobs_[blob].num_bytes()) {
      checksums_[blob] = streams_[blob]->hex();
      streams_[blob].reset();
    }
  }

  std::vector<EngineRank> finish() {
    std::vector<EngineRank> ranks(files_.size());
    for (size_t rank = 0; rank < files_.size(); ++rank) {
      files_[rank].sync();
      files_[rank].close();
      ranks[rank].file = rank_file_name(static_cast<int64_t>(rank));
      ranks[rank].size = sizes_[rank];
    }
    for (size_t b = 0; b < blobs_.size(); ++b) {
      GLMOE_CHECK(!checksums_[b].empty(), "{} was not written", blobs_[b].name);
      ranks[static_cast<size_t>(blobs_[b].rank)].blobs.push_back(
          {blobs_[b].name, offsets_[b], blobs_[b].num_bytes(), blobs_[b].dtype, blobs_[b].shape,
           checksums_[b]});
    }
    return ranks;
  }

 private:
  const std::vector<RankBlob>& blobs_;
  std::vector<uint64_t> offsets_, sizes_;
  std::vector<OutputFile> files_;
  std::vector<std::unique_ptr<ChecksumStream>> streams_;
  std::vector<std::string> checksums_;
};

EngineManifest fill_staging(const TensorSource& source, const EngineWriteOptions& options,
                            const std::string& folder, ThreadTeam& team,
                            const ProgressCallback& progress) {
  EngineManifest manifest;
  manifest.builder = builder_version();
  manifest.config = source.plan.config;
  manifest.config.dtype = dtype_long_name(options.dtype);
  manifest.mapping = options.mapping;
  manifest.dtype = options.dtype;
  manifest.recipe = options.recipe;
  manifest.source_kind = source.kind;
  manifest.source_fingerprint = source.fingerprint;
  copy_companion_files(source.folder, folder);
  for (const std::string& name : companion_files(folder)) {
    const MappedFile file(folder + "/" + name);
    manifest.files.push_back({name, file.bytes().size(), checksum_hex(file.bytes())});
  }
  const auto blobs = list_rank_blobs(source.plan, options.mapping, options.dtype);
  MaterialiseOptions run;
  run.piece_bytes = piece_bytes_within(options.max_host_memory, team.size(), blobs);
  run.blobs_in_order = true;
  EngineSink sink(folder, blobs, options.mapping.world_size);
  materialise(source, blobs, options.mapping, sink, team, run, progress);
  manifest.ranks = sink.finish();
  return manifest;
}

}  // namespace

void write_engine(const TensorSource& source, const EngineWriteOptions& options, ThreadTeam& team,
                  const ProgressCallback& progress) {
  source.plan.config.validate_mapping(options.mapping);
  OutputFolder output(options.output_dir, source.folder, ModelFolderKind::kEngine);
  output.open_staging();
  try {
    output.clear_staging();
    const EngineManifest manifest = fill_staging(source, options, output.staging(), team, progress);
    write_text_file_atomically(output.staging() + "/manifest.json",
                               manifest_to_json(manifest).dump(1) + "\n");
    output.publish();
  } catch (...) {
    output.remove_staging();
    throw;
  }
}

}  // namespace glmoe
