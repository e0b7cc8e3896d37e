#include "convert/journal.h"

#include <fmt/format.h>

#include <charconv>
#include <sstream>

#include "artifact/checksum.h"
#include "base/error.h"

namespace glmoe {
namespace {

std::string header(const std::string& key) { return "glmoe-convert-journal 1 " + key + "\n"; }

// A line carries a checksum of itself, so that a torn one is seen.
std::string line_of(const std::string& key, JournalEntry entry) {
  const std::string text = fmt::format("{} {}", entry.blob, entry.offset);
  const std::string keyed = key + text;
  const std::string sum = checksum_hex(std::as_bytes(std::span(keyed))).substr(0, 8);
  return text + " " + sum + "\n";
}

bool read_number(std::istringstream& in, uint64_t& value) {
  std::string word;
  if (!(in >> word)) return false;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size();
}

}  // namespace

std::set<JournalEntry> Journal::read(const std::string& path, const std::string& key) {
  std::string text;
  try {
    text = read_text_file(path);
  } catch (const Error&) {
    return {};
  }
  if (!text.starts_with(header(key))) return {};
  std::set<JournalEntry> entries;
  size_t at = header(key).size();
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    const std::string line = text.substr(at, end + 1 - at);
    std::istringstream in(line);
    JournalEntry entry;
    if (!read_number(in, entry.blob) || !read_number(in, entry.offset) ||
        line != line_of(key, entry)) {
      break;
    }
    entries.insert(entry);
    at = end + 1;
  }
  return entries;
}

Journal::Journal(const std::string& path, const std::string& key,
                 const std::set<JournalEntry>& done)
    : key_(key) {
  std::string text = header(key);
  for (const JournalEntry& entry : done) text += line_of(key, entry);
  write_text_file_atomically(path, text);
  file_ = OutputFile(path, OutputFile::Mode::kOpenExisting);
}

void Journal::append(const std::vector<JournalEntry>& entries) {
  std::string text;
  for (const JournalEntry& entry : entries) text += line_of(key_, entry);
  file_.append(std::as_bytes(std::span(text)));
  file_.sync();
}

}  // namespace glmoe
