// The answer to /v1/completions: one text_completion, or a stream of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/api/answers.h"
#include "serve/api/event_template.h"
#include "serve/api/generation_fields.h"
#include "serve/openai/parts.h"

namespace glmoe::serve::openai {

struct CompletionAnswerOptions {
  std::string id;
  int64_t created = 0;
  std::string model;
  StreamFields stream;
  bool echo = false;
  bool only_prompt = false;  // max_tokens 0: the one token that the engine needs is not shown
  bool logprobs = false;
  bool prompt_logprobs = false;  // as a field of their own
  bool return_token_ids = false;
  std::vector<std::string> prompt_texts;  // with echo: one a request
  SamplingParams sampling;
};

class CompletionWriter : public AnswerWriter {
 public:
  // `text` outlives the writer.
  CompletionWriter(CompletionAnswerOptions options, AnswerCollector answers, const ModelText& text);

  ServerEvents start() override { return {}; }
  ServerEvents feed(size_t which, const OutputDelta& delta, const RequestFacts& facts) override;
  ServerEvents finish() override;
  ServerEvents failure(const HttpError& error) override;
  ServerEvents keep_alive() override { return {}; }
  std::string body() override;
  CallTotals totals() const override;

 private:
  struct Choice {
    explicit Choice(const ModelText& text) : logprobs(text) {}
    CompletionLogprobs logprobs;
    bool echoed = false;
    std::vector<PositionLogprobs> pending_logprobs;
    std::vector<int32_t> pending_ids;
    EventTemplate text_chunk;
  };
  OrderedJson header() const;
  OrderedJson chunk(OrderedJson choice) const;
  // A choice with the prompt before the text where it is to be echoed.
  OrderedJson choice_with(size_t index, std::string text,
                          const std::vector<PositionLogprobs>& positions,
                          const std::vector<int32_t>& token_ids);
  // Whether a chunk that does not end its answer differs from the one before in its text alone.
  bool only_text_changes(size_t index) const;
  ServerEvents text_chunk(const AnswerEvent& event);
  void add_end(size_t index, OrderedJson& choice) const;
  int64_t num_generated() const;
  OrderedJson usage_json() const;

  CompletionAnswerOptions options_;
  AnswerCollector answers_;
  const ModelText* text_;
  std::vector<Choice> choices_;
};

}  // namespace glmoe::serve::openai
