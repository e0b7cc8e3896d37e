#include "convert/convert_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>

#include "artifact/checksum.h"
#include "artifact/output_folder.h"
#include "base/error.h"
#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "convert/converted_folder.h"
#include "convert/journal.h"
#include "convert/load_checkpoint.h"

namespace glmoe {
namespace {

// Writes pieces into the rank files and notes them in the journal once they are on the disk.
class ConvertedSink final : public BlobSink {
 public:
  ConvertedSink(const std::string& folder, const std::vector<RankBlob>& blobs, int64_t num_ranks,
                uint64_t journal_bytes, const std::string& key, std::set<JournalEntry> done)
      : folder_(folder),
        blobs_(blobs),
        journal_bytes_(journal_bytes),
        done_(std::move(done)),
        dirty_(static_cast<size_t>(num_ranks), false) {
    std::vector<std::vector<SafetensorsWriter::Spec>> specs(static_cast<size_t>(num_ranks));
    for (const RankBlob& blob : blobs) {
      specs[static_cast<size_t>(blob.rank)].push_back({blob.name, blob.dtype, blob.shape});
    }
    for (int64_t rank = 0; rank < num_ranks; ++rank) {
      writers_.push_back(std::make_unique<SafetensorsWriter>(
          path_of(rank), std::move(specs[static_cast<size_t>(rank)]),
          std::map<std::string, std::string>{{"format", "glmoe"}}, !done_.empty()));
    }
    journal_ = std::make_unique<Journal>(folder + "/journal", key, done_);
  }

  bool has(size_t blob, uint64_t offset) const override { return done_.count({blob, offset}) != 0; }

  void write(size_t blob, uint64_t offset, std::span<const std::byte> bytes) override {
    const auto rank = static_cast<size_t>(blobs_[blob].rank);
    writers_[rank]->write(blobs_[blob].name, offset, bytes);
    const std::lock_guard lock(mutex_);
    dirty_[rank] = true;
    pending_.push_back({blob, offset});
    pending_bytes_ += bytes.size();
    if (pending_bytes_ >= journal_bytes_) flush();
  }

  void finish() {
    for (const auto& writer : writers_) writer->finish();
  }

  bool any_noted() const { return !done_.empty() || noted_; }

 private:
  std::string path_of(int64_t rank) const { return folder_ + "/" + converted_rank_file(rank); }

  // A second descriptor's sync covers what the writers put into the file.
  void flush() {
    for (size_t rank = 0; rank < dirty_.size(); ++rank) {
      if (!dirty_[rank]) continue;
      OutputFile file(path_of(static_cast<int64_t>(rank)), OutputFile::Mode::kOpenExisting);
      file.sync();
      file.close();
      dirty_[rank] = false;
    }
    journal_->append(pending_);
    noted_ = true;
    pending_.clear();
    pending_bytes_ = 0;
  }

  const std::string folder_;
  const std::vector<RankBlob>& blobs_;
  const uint64_t journal_bytes_;
  const std::set<JournalEntry> done_;  // from an earlier run
  std::vector<std::unique_ptr<SafetensorsWriter>> writers_;
  std::unique_ptr<Journal> journal_;
  std::mutex mutex_;
  std::vector<bool> dirty_;  // ranks with bytes that are not synced
  std::vector<JournalEntry> pending_;
  uint64_t pending_bytes_ = 0;
  std::atomic<bool> noted_{false};
};

// Everything that the pieces in the journal depend on.
std::string journal_key(const TensorSource& source, const Mapping& mapping, DType dtype,
                        const std::vector<RankBlob>& blobs, uint64_t piece_bytes) {
  std::string text = source.fingerprint + mapping.to_string();
  text += fmt::format("|{}|{}|{}|{}|", mapping.tp_size, mapping.pp_size, mapping.ep_size,
                      mapping.moe_tp_size);
  text += fmt::format("{}|{}", dtype_name(dtype), piece_bytes);
  for (const RankBlob& blob : blobs) {
    text += fmt::format("|{} {} {} {}", blob.rank, blob.name, dtype_name(blob.dtype),
                        blob.shape.to_string());
  }
  return checksum_hex(std::as_bytes(std::span(text)));
}

// The sink on what an interrupted run left, or on empty files where that does not fit.
std::unique_ptr<ConvertedSink> open_sink(OutputFolder& output, const ConvertOptions& options,
                                         const std::vector<RankBlob>& blobs, int64_t num_ranks,
                                         const std::string& key, std::set<JournalEntry>& done) {
  if (output.open_staging()) done = Journal::read(output.staging() + "/journal", key);
  if (!done.empty()) {
    try {
      return std::make_unique<ConvertedSink>(output.staging(), blobs, num_ranks,
                                             options.journal_bytes, key, done);
    } catch (const Error&) {
      done.clear();  // the files are not those of the journal: start again
    }
  }
  output.clear_staging();
  return std::make_unique<ConvertedSink>(output.staging(), blobs, num_ranks, options.journal_bytes,
                                         key, done);
}

uint64_t noted_bytes(const std::set<JournalEntry>& done, const std::vector<RankBlob>& blobs,
                     uint64_t piece_bytes) {
  uint64_t bytes = 0;
  for (const JournalEntry& entry : done) {
    if (entry.blob >= blobs.size()) continue;
    const RankBlob& blob = blobs[entry.blob];
    const uint64_t rows = std::max<uint64_t>(1, piece_bytes / blob.row_bytes());
    if (entry.offset < blob.num_bytes()) {
      bytes += std::min(rows * blob.row_bytes(), blob.num_bytes() - entry.offset);
    }
  }
  return bytes;
}

void finish_folder(OutputFolder& output, const TensorSource& source, const Mapping& mapping,
                   DType dtype) {
  copy_companion_files(source.folder, output.staging());
  const Json config =
      converted_config(source.plan.config, mapping, dtype, source.kind, source.fingerprint);
  write_text_file_atomically(output.staging() + "/config.json", config.dump(2) + "\n");
  std::filesystem::remove(output.staging() + "/journal");
  output.publish();
}

}  // namespace

ConvertReport convert_checkpoint(const ConvertOptions& options, const ProgressCallback& progress) {
  ThreadTeam team(options.workers);
  const TensorSource source = open_checkpoint(options.model_dir, &team);
  source.plan.config.validate_mapping(options.mapping);
  const Mapping mapping = options.mapping.resolved();
  const DType dtype = options.dtype.value_or(source.dtype);
  const std::vector<RankBlob> blobs = list_rank_blobs(source.plan, mapping, dtype);
  MaterialiseOptions run;
  run.piece_bytes = piece_bytes_within(options.max_host_memory, team.size(), blobs);
  const std::string key = journal_key(source, mapping, dtype, blobs, run.piece_bytes);

  OutputFolder output(options.output_dir, options.model_dir, ModelFolderKind::kConverted);
  ConvertReport report;
  report.num_ranks = mapping.world_size;
  report.dtype = dtype;
  for (const RankBlob& blob : blobs) report.num_bytes += blob.num_bytes();
  std::unique_ptr<ConvertedSink> sink;
  try {
    std::set<JournalEntry> done;
    sink = open_sink(output, options, blobs, mapping.world_size, key, done);
    report.resumed_bytes = noted_bytes(done, blobs, run.piece_bytes);
    materialise(source, blobs, mapping, *sink, team, run, progress);
    sink->finish();
    finish_folder(output, source, mapping, dtype);
  } catch (...) {
    // Kept only where there is something to go on from; a full disk gets its space back.
    if (output.owns_staging() && (sink == nullptr || !sink->any_noted())) output.remove_staging();
    throw;
  }
  return report;
}

}  // namespace glmoe
