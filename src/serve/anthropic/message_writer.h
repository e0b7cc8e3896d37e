// The answer to /v1/messages: one message, or the events message_start, content_block_*,
// message_delta, message_stop.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "serve/api/answers.h"
#include "serve/api/event_template.h"

namespace glmoe::serve::anthropic {

struct MessageAnswerOptions {
  std::string id;
  std::string model;
  bool stream = false;
  SamplingParams sampling;
};

class MessageWriter : public AnswerWriter {
 public:
  MessageWriter(MessageAnswerOptions options, AnswerCollector answers);

  ServerEvents start() override;
  ServerEvents feed(size_t which, const OutputDelta& delta, const RequestFacts& facts) override;
  ServerEvents finish() override;
  ServerEvents failure(const HttpError& error) override;
  ServerEvents keep_alive() override;
  std::string body() override;
  CallTotals totals() const override;

 private:
  using Kind = AnswerPart::Kind;

  OrderedJson message_json() const;
  OrderedJson usage() const;
  OrderedJson stop_reason() const;
  OrderedJson stop_sequence() const;

  // Streaming: one block is open at a time; another kind of output closes it.
  void open_block(Kind kind, OrderedJson block, ServerEvents& events);
  void close_block(ServerEvents& events);
  // White space does not open a block: clients send blocks back, and other servers of this API
  // refuse empty ones. body() leaves the same out.
  void add_text(Kind kind, const std::string& text, ServerEvents& events);
  void add_call(const ToolCallDelta& call, ServerEvents& events);
  OrderedJson delta_json(OrderedJson delta) const;
  void add_delta(OrderedJson delta, ServerEvents& events);

  MessageAnswerOptions options_;
  AnswerCollector answers_;
  bool block_open_ = false;
  Kind block_kind_ = Kind::kText;
  int64_t num_blocks_ = 0;
  std::string signed_text_;   // of the open thinking block
  EventTemplate text_delta_;  // of the open block of text or thinking
};

// JSON text of an object that may have been cut off: as it is where it is whole, else its whole
// members.
OrderedJson whole_members(const std::string& arguments);

}  // namespace glmoe::serve::anthropic
