// The answer to /v1/chat/completions: one chat.completion, or a stream of chat.completion.chunk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/api/answers.h"
#include "serve/api/event_template.h"
#include "serve/api/generation_fields.h"

namespace glmoe::serve::openai {

struct ChatAnswerOptions {
  std::string id;
  int64_t created = 0;
  std::string model;
  StreamFields stream;
  bool include_reasoning = true;
  bool return_token_ids = false;
  std::optional<int64_t> num_top_logprobs;  // unset: no log-probabilities
  SamplingParams sampling;
};

class ChatWriter : public AnswerWriter {
 public:
  // `text` outlives the writer.
  ChatWriter(ChatAnswerOptions options, AnswerCollector answers, const ModelText& text);

  ServerEvents start() override;
  ServerEvents feed(size_t which, const OutputDelta& delta, const RequestFacts& facts) override;
  ServerEvents finish() override;
  ServerEvents failure(const HttpError& error) override;
  ServerEvents keep_alive() override { return {}; }
  std::string body() override;
  CallTotals totals() const override;

 private:
  // What came with deltas that held back all their text: it goes out with the next chunk.
  struct Pending {
    std::vector<PositionLogprobs> logprobs;
    std::vector<int32_t> token_ids;
  };
  struct TextChunks {
    EventTemplate content, reasoning;
  };
  OrderedJson header(const char* object) const;
  OrderedJson chunk(OrderedJson choice) const;
  // A choice of a chunk, with what is pending for it.
  OrderedJson choice_with(size_t index, OrderedJson delta);
  OrderedJson delta_json(const AnswerEvent& event);
  // The chunk of a delta that is nothing but text, without a JSON tree; empty: it is not.
  std::string text_chunk(const AnswerEvent& event);
  OrderedJson message(const Answer& answer) const;
  OrderedJson whole_choice(size_t index) const;

  ChatAnswerOptions options_;
  AnswerCollector answers_;
  const ModelText* text_;
  std::vector<Pending> pending_;
  std::vector<TextChunks> text_chunks_;
};

}  // namespace glmoe::serve::openai
