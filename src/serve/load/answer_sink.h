// Reads one answer of a load and writes down when its tokens came.
#pragma once

#include <string>

#include "serve/client/chunk.h"
#include "serve/client/http_client.h"
#include "serve/client/sse_reader.h"
#include "serve/load/load_record.h"

namespace glmoe::serve {

class AnswerSink final : public ResponseSink {
 public:
  // `record` outlives it; its times count from `start`.
  AnswerSink(LoadRecord& record, ClientTime start);

  void on_head(const ResponseHead& head) override;
  void on_body(ClientTime when, std::string_view bytes) override;
  // The answer has ended as HTTP wants it, at `when`. Fills in counts, and the failure that an
  // error status or an unfinished stream is.
  void finish(ClientTime when);

 private:
  double seconds(ClientTime when) const;
  void take(const Chunk& chunk);

  LoadRecord& record_;
  ClientTime start_, now_;
  ResponseHead head_;
  bool is_stream_ = false, done_ = false;
  double last_token_s_ = 0.0, finish_reason_s_ = -1.0;
  std::string body_;  // of an answer that is no stream
  SseReader reader_;
};

}  // namespace glmoe::serve
