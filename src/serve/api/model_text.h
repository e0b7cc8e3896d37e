// The model's text side as the readers and writers of bodies use it. LlmText is the real one; tests
// and the fuzz target have small ones of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "glmoe/llm.h"

namespace glmoe::serve {

// One answer taken apart into reasoning, content and tool calls; what ChatParser does.
class ChatSplitter {
 public:
  virtual ~ChatSplitter() = default;
  virtual ChatDelta feed(const OutputDelta& delta) = 0;
  virtual int64_t num_reasoning_tokens() const = 0;  // so far
};

// Any thread may call any method. Methods throw what those of LLM with the same names throw.
class ModelText {
 public:
  virtual ~ModelText() = default;
  virtual std::vector<int32_t> tokenize(const std::string& text) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& ids) const = 0;
  virtual std::string token_bytes(int32_t id) const = 0;
  virtual std::string render_chat(const std::string& messages_json,
                                  const ChatOptions& options) const = 0;
  virtual std::vector<int32_t> encode_chat(const std::string& messages_json,
                                           const ChatOptions& options) const = 0;
  virtual std::unique_ptr<ChatSplitter> chat_splitter(const std::vector<int32_t>& prompt_token_ids,
                                                      const ChatParserOptions& options) const = 0;
  virtual int64_t vocab_size() const = 0;
};

class LlmText : public ModelText {
 public:
  explicit LlmText(const LLM& llm) : llm_(&llm) {}  // `llm` must outlive it
  std::vector<int32_t> tokenize(const std::string& text) const override;
  std::string detokenize(const std::vector<int32_t>& ids) const override;
  std::string token_bytes(int32_t id) const override;
  std::string render_chat(const std::string& messages_json,
                          const ChatOptions& options) const override;
  std::vector<int32_t> encode_chat(const std::string& messages_json,
                                   const ChatOptions& options) const override;
  std::unique_ptr<ChatSplitter> chat_splitter(const std::vector<int32_t>& prompt_token_ids,
                                              const ChatParserOptions& options) const override;
  int64_t vocab_size() const override;

 private:
  const LLM* llm_;
};

}  // namespace glmoe::serve
