// What an interrupted conversion has finished: one line a piece, written only after the piece's
// bytes are on the disk, so that a run after a kill or a power cut goes on from there.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace glmoe {

struct JournalEntry {
  uint64_t blob = 0, offset = 0;
  auto operator<=>(const JournalEntry&) const = default;
};

class Journal {
 public:
  // Entries of `path` when it was written for the same `key`; whatever follows the first torn or
  // foreign line is dropped. Empty when there is no such file or it belongs to other work.
  static std::set<JournalEntry> read(const std::string& path, const std::string& key);

  // Starts the file anew with what is done.
  Journal(const std::string& path, const std::string& key, const std::set<JournalEntry>& done);
  // Appends and syncs.
  void append(const std::vector<JournalEntry>& entries);

 private:
  OutputFile file_;
  std::string key_;
};

}  // namespace glmoe
