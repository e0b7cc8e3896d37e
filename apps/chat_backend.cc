#include "apps/chat_backend.h"

#include <utility>

#include "base/error.h"
#include "serve/client/chat_stream.h"

namespace glmoe::apps {
namespace {

// The number that was typed: 0.7 as a float is 0.699999988 as a double.
void put(OrderedJson& body, const char* key, const std::optional<float>& value) {
  if (value) body[key] = std::stod(fmt::format("{}", *value));
}
template <class T>
void put(OrderedJson& body, const char* key, const std::optional<T>& value) {
  if (value) body[key] = *value;
}

class RemoteChat final : public ChatBackend {
 public:
  explicit RemoteChat(const ClientFlags& flags)
      : client_(client_options(flags)), model_(model_of(flags, client_)) {}

  std::string name() const override { return model_ + " at " + client_.url.text(); }

  bool answer(const OrderedJson& messages, const ChatSettings& settings,
              const std::function<void(const ChatPiece&)>& on_piece,
              const std::atomic<bool>& stop) override {
    const std::string body = body_of(messages, settings);
    try {
      serve::stream_chat(
          client_, body,
          [&](const serve::Chunk& chunk) {
            on_piece({chunk.reasoning, chunk.content});
          },
          stop);
      return true;
    } catch (const serve::RequestFailed& error) {
      if (error.failure().kind == serve::FailureKind::kCancelled) return false;
      fail_request(error.failure());
    }
  }

 private:
  std::string body_of(const OrderedJson& messages, const ChatSettings& settings) const {
    const SamplingParams& sampling = settings.sampling;
    OrderedJson body = {{"model", model_}, {"messages", messages}, {"stream", true}};
    put(body, "max_tokens", settings.max_tokens);
    put(body, "temperature", sampling.temperature);
    put(body, "top_p", sampling.top_p);
    put(body, "top_k", sampling.top_k);
    put(body, "min_p", sampling.min_p);
    put(body, "repetition_penalty", sampling.repetition_penalty);
    put(body, "seed", sampling.seed);
    if (settings.thinking) body["chat_template_kwargs"] = {{"enable_thinking", *settings.thinking}};
    return body.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  }

  serve::HttpClientOptions client_;
  std::string model_;
};

class LocalChat final : public ChatBackend {
 public:
  explicit LocalChat(const LlmOptions& options) : model_(options.model), llm_(options) {}

  std::string name() const override { return model_ + " (" + llm_.device() + ")"; }

  bool answer(const OrderedJson& messages, const ChatSettings& settings,
              const std::function<void(const ChatPiece&)>& on_piece,
              const std::atomic<bool>& stop) override {
    ChatOptions chat;
    chat.enable_thinking = settings.thinking;
    const std::vector<int32_t> prompt = llm_.encode_chat(messages.dump(), chat);
    ChatParser parser = llm_.chat_parser(prompt, {.tools_json = {}, .parse_tools = false});
    SamplingParams sampling = settings.sampling;
    sampling.max_tokens = settings.max_tokens.value_or(llm_.max_seq_len());
    ResponseStream stream = llm_.submit({prompt, sampling});
    OutputDelta delta;
    std::string error;
    bool cancelled = false;
    while (stream.next(delta)) {
      if (stop.load() && !std::exchange(cancelled, true)) stream.cancel();
      ChatDelta piece = parser.feed(delta);
      on_piece({std::move(piece.reasoning), std::move(piece.content)});
      if (delta.finish_reason == FinishReason::kError) error = delta.error;
    }
    if (!error.empty()) {
      fail(ErrorCode::kUnavailable, "the answer ended early: {}", error);
    }
    return !cancelled;
  }

 private:
  std::string model_;
  LLM llm_;
};

}  // namespace

std::unique_ptr<ChatBackend> make_remote_chat(const ClientFlags& flags) {
  return std::make_unique<RemoteChat>(flags);
}
std::unique_ptr<ChatBackend> make_local_chat(const LlmOptions& options) {
  return std::make_unique<LocalChat>(options);
}

}  // namespace glmoe::apps
