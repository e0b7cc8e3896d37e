// Server-sent events out of bytes as they come. However the bytes are split, the events are the
// same. Line ends may be LF, CRLF or CR; comments and fields other than data and event are skipped.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace glmoe::serve {

class SseReader {
 public:
  // `name` is empty for events without an event field. Both live until the callback returns.
  using OnEvent = std::function<void(std::string_view name, std::string_view data)>;

  explicit SseReader(OnEvent on_event, size_t max_event_bytes = size_t{16} << 20);

  // Calls back for every event that is complete. Throws kCorrupt where one exceeds the limit.
  void feed(std::string_view bytes);
  // The stream has ended: an event whose empty line never came is given too, since some servers
  // leave it out after their last one. A line that was cut off counts as a whole one.
  void finish();

 private:
  void take_line(std::string_view line);
  void dispatch();

  OnEvent on_event_;
  size_t max_event_bytes_;
  std::string line_;  // the beginning of a line whose end has not come
  std::string name_, data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a line feed that comes now belongs to the carriage return before it
  bool first_line_ = true;
};

}  // namespace glmoe::serve
