#include "serve/client/sse_reader.h"

#include <utility>

#include "base/error.h"

namespace glmoe::serve {

SseReader::SseReader(OnEvent on_event, size_t max_event_bytes)
    : on_event_(std::move(on_event)), max_event_bytes_(max_event_bytes) {}

void SseReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = bytes.find_first_of("\r\n");
    if (line_.size() + data_.size() + std::min(end, bytes.size()) > max_event_bytes_) {
      fail(ErrorCode::kCorrupt, "an event of the stream is longer than {} bytes", max_event_bytes_);
    }
    if (end == std::string_view::npos) {
      line_ += bytes;
      return;
    }
    after_cr_ = bytes[end] == '\r';
    if (line_.empty()) {
      take_line(bytes.substr(0, end));
    } else {
      line_ += bytes.substr(0, end);
      take_line(line_);
      line_.clear();
    }
    bytes.remove_prefix(end + 1);
  }
}

void SseReader::finish() {
  if (!line_.empty()) take_line(std::exchange(line_, {}));
  dispatch();
}

void SseReader::take_line(std::string_view line) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (std::exchange(first_line_, false) && line.starts_with(kByteOrderMark)) {
    line.remove_prefix(kByteOrderMark.size());
  }
  if (line.empty()) return dispatch();
  const size_t colon = line.find(':');
  if (colon == 0) return;  // a comment: servers send it to keep the connection
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "event") {
    name_ = value;
  }
}

void SseReader::dispatch() {
  if (has_data_) on_event_(name_, data_);
  name_.clear();
  data_.clear();
  has_data_ = false;
}

}  // namespace glmoe::serve
