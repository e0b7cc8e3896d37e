#include "serve/load/answer_sink.h"

#include <chrono>

namespace glmoe::serve {
namespace {
constexpr size_t kMaxBodyBytes = size_t{64} << 20;
}

AnswerSink::AnswerSink(LoadRecord& record, ClientTime start)
    : record_(record), start_(start), reader_([this](std::string_view name, std::string_view data) {
        take(parse_chunk(name, data));
      }) {}

double AnswerSink::seconds(ClientTime when) const {
  return std::chrono::duration<double>(when - start_).count();
}

void AnswerSink::on_head(const ResponseHead& head) {
  head_ = head;
  is_stream_ = head.status == 200 && head.content_type.starts_with("text/event-stream");
}

void AnswerSink::on_body(ClientTime when, std::string_view bytes) {
  now_ = when;
  if (is_stream_) {
    reader_.feed(bytes);
  } else if (body_.size() + bytes.size() > kMaxBodyBytes) {
    throw RequestFailed(FailureKind::kProtocol, "the answer is longer than 64 MiB");
  } else {
    body_ += bytes;
  }
}

void AnswerSink::take(const Chunk& chunk) {
  const double at = seconds(now_);
  if (chunk.done) {
    done_ = true;
    record_.end_s = at;
    return;
  }
  if (!chunk.error.empty() && record_.ok()) {
    record_.failure = {.kind = FailureKind::kServer,
                       .message = "an error in the stream: " + chunk.error,
                       .status = head_.status};
  }
  if (chunk.has_tokens()) {
    if (record_.num_chunks++ == 0) {
      record_.first_token_s = at;
    } else {
      record_.gaps_ms.push_back(static_cast<float>((at - last_token_s_) * 1e3));
    }
    last_token_s_ = at;
  }
  if (chunk.usage) {
    record_.prompt_tokens = chunk.usage->prompt_tokens;
    record_.completion_tokens = chunk.usage->completion_tokens;
    record_.cached_tokens = chunk.usage->cached_tokens;
    record_.tokens_from_usage = true;
  }
  if (!chunk.finish_reason.empty()) {
    record_.finish_reason = chunk.finish_reason;
    finish_reason_s_ = at;
  }
}

void AnswerSink::finish(ClientTime when) {
  if (head_.status != 200) {
    record_.failure = status_failure(head_.status, body_, head_.retry_after);
  } else if (is_stream_) {
    reader_.finish();
  } else {
    take(parse_chunk("", body_));  // a server that does not stream
  }
  if (!done_) record_.end_s = seconds(when);
  if (record_.ok() && !done_ && record_.finish_reason.empty()) {
    record_.failure = {.kind = FailureKind::kTruncated,
                       .message = "the stream ended without a finish_reason and without [DONE]",
                       .status = head_.status};
  }
  if (!record_.tokens_from_usage) record_.completion_tokens = record_.num_chunks;
  // Tokens without a text of their own (special ones): the first is seen when the answer ends.
  if (record_.first_token_s < 0.0 && record_.completion_tokens > 0 && finish_reason_s_ >= 0.0) {
    record_.first_token_s = finish_reason_s_;
  }
}

}  // namespace glmoe::serve
