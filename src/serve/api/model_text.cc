#include "serve/api/model_text.h"

#include <utility>

namespace glmoe::serve {
namespace {

class ParserSplitter : public ChatSplitter {
 public:
  explicit ParserSplitter(ChatParser parser) : parser_(std::move(parser)) {}
  ChatDelta feed(const OutputDelta& delta) override { return parser_.feed(delta); }
  int64_t num_reasoning_tokens() const override { return parser_.num_reasoning_tokens(); }

 private:
  ChatParser parser_;
};

}  // namespace

std::vector<int32_t> LlmText::tokenize(const std::string& text) const {
  return llm_->tokenize(text);
}

std::string LlmText::detokenize(const std::vector<int32_t>& ids) const {
  return llm_->detokenize(ids);
}

std::string LlmText::token_bytes(int32_t id) const { return llm_->token_bytes(id); }

std::string LlmText::render_chat(const std::string& messages_json,
                                 const ChatOptions& options) const {
  return llm_->render_chat(messages_json, options);
}

std::vector<int32_t> LlmText::encode_chat(const std::string& messages_json,
                                          const ChatOptions& options) const {
  return llm_->encode_chat(messages_json, options);
}

std::unique_ptr<ChatSplitter> LlmText::chat_splitter(const std::vector<int32_t>& prompt_token_ids,
                                                     const ChatParserOptions& options) const {
  return std::make_unique<ParserSplitter>(llm_->chat_parser(prompt_token_ids, options));
}

int64_t LlmText::vocab_size() const { return llm_->config().vocab_size; }

}  // namespace glmoe::serve
