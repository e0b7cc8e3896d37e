#include "serve/client/chat_stream.h"

#include <boost/asio/io_context.hpp>
#include <string_view>

#include "base/error.h"
#include "serve/client/sse_reader.h"

namespace glmoe::serve {
namespace {

constexpr size_t kMaxBodyBytes = size_t{64} << 20;

class ChatSink final : public ResponseSink {
 public:
  explicit ChatSink(const std::function<void(const Chunk&)>& on_chunk)
      : on_chunk_(on_chunk), reader_([this](std::string_view name, std::string_view data) {
          take(parse_chunk(name, data));
        }) {}

  void on_head(const ResponseHead& head) override {
    head_ = head;
    is_stream_ = head.status == 200 && head.content_type.starts_with("text/event-stream");
  }
  void on_body(ClientTime, std::string_view bytes) override {
    if (is_stream_) return reader_.feed(bytes);
    if (body_.size() + bytes.size() > kMaxBodyBytes) {
      throw RequestFailed(FailureKind::kProtocol, "the answer is longer than 64 MiB");
    }
    body_ += bytes;
  }
  void finish() {
    if (head_.status != 200) {
      throw RequestFailed(status_failure(head_.status, body_, head_.retry_after));
    }
    if (is_stream_) {
      reader_.finish();
    } else {
      take(parse_chunk("", body_));
    }
    if (!complete_) {
      throw RequestFailed(FailureKind::kTruncated,
                          "the stream ended before the answer was complete");
    }
  }

 private:
  void take(const Chunk& chunk) {
    complete_ = complete_ || chunk.done || !chunk.finish_reason.empty();
    if (!chunk.error.empty()) {
      throw RequestFailed(FailureKind::kServer, "the server broke off: " + chunk.error);
    }
    on_chunk_(chunk);
  }

  const std::function<void(const Chunk&)>& on_chunk_;
  ResponseHead head_;
  bool is_stream_ = false, complete_ = false;
  std::string body_;
  SseReader reader_;
};

}  // namespace

void stream_chat(const HttpClientOptions& options, const std::string& body,
                 const std::function<void(const Chunk&)>& on_chunk, const std::atomic<bool>& stop) {
  boost::asio::io_context io(1);
  HttpClient client(io, options);
  const ClientRequest request{.method = "POST", .target = "/v1/chat/completions", .body = body};
  ChatSink sink(on_chunk);
  try {
    run_client(
        io, client, [&] { return client.exchange(request, sink); }, &stop);
  } catch (const Error& error) {  // an event beyond all limits
    throw RequestFailed(FailureKind::kProtocol, error.what());
  }
  sink.finish();
}

}  // namespace glmoe::serve
