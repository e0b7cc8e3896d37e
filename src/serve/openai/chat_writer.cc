#include "serve/openai/chat_writer.h"

#include <utility>

#include "serve/api/json_fields.h"
#include "serve/openai/parts.h"

namespace glmoe::serve::openai {

ChatWriter::ChatWriter(ChatAnswerOptions options, AnswerCollector answers, const ModelText& text)
    : options_(std::move(options)),
      answers_(std::move(answers)),
      text_(&text),
      pending_(answers_.num_choices()),
      text_chunks_(answers_.num_choices()) {}

OrderedJson ChatWriter::header(const char* object) const {
  OrderedJson json;
  json["id"] = options_.id;
  json["object"] = object;
  json["created"] = options_.created;
  json["model"] = options_.model;
  return json;
}

OrderedJson ChatWriter::chunk(OrderedJson choice) const {
  OrderedJson json = header("chat.completion.chunk");
  json["choices"] = OrderedJson::array();
  json["choices"].push_back(std::move(choice));
  if (options_.stream.continuous_usage) {
    json["usage"] = usage(answers_);
  } else if (options_.stream.include_usage) {
    json["usage"] = nullptr;
  }
  return json;
}

OrderedJson ChatWriter::choice_with(size_t index, OrderedJson delta) {
  Pending& pending = pending_[index];
  OrderedJson choice;
  choice["index"] = index;
  choice["delta"] = std::move(delta);
  choice["logprobs"] = nullptr;
  if (options_.num_top_logprobs && !pending.logprobs.empty()) {
    choice["logprobs"] = {
        {"content", chat_logprobs(pending.logprobs, *options_.num_top_logprobs, *text_)}};
  }
  choice["finish_reason"] = nullptr;
  if (options_.return_token_ids) choice["token_ids"] = pending.token_ids;
  pending = {};
  return choice;
}

ServerEvents ChatWriter::start() {
  ServerEvents events;
  for (size_t i = 0; i < answers_.num_choices(); ++i) {
    OrderedJson json = chunk(choice_with(i, {{"role", "assistant"}, {"content", ""}}));
    if (options_.return_token_ids) json["prompt_token_ids"] = answers_.prompt_token_ids(0);
    events.push_back({.data = dump(json)});
  }
  return events;
}

OrderedJson ChatWriter::delta_json(const AnswerEvent& event) {
  OrderedJson delta = OrderedJson::object();
  if (options_.include_reasoning && !event.delta.reasoning.empty()) {
    delta["reasoning_content"] = event.delta.reasoning;
  }
  if (!event.delta.content.empty()) delta["content"] = event.delta.content;
  for (const ToolCallDelta& call : event.delta.tool_calls) {
    OrderedJson json;
    json["index"] = call.index;
    if (!call.name.empty()) {
      json["id"] = random_id("call_");
      json["type"] = "function";
      json["function"]["name"] = call.name;
    }
    json["function"]["arguments"] = call.arguments;
    delta["tool_calls"].push_back(std::move(json));
  }
  return delta;
}

std::string ChatWriter::text_chunk(const AnswerEvent& event) {
  const ChatDelta& delta = event.delta;
  const bool reasons = options_.include_reasoning && !delta.reasoning.empty();
  if (options_.num_top_logprobs || options_.return_token_ids || options_.stream.continuous_usage ||
      !delta.tool_calls.empty() || reasons == !delta.content.empty()) {
    return {};
  }
  const char* key = reasons ? "reasoning_content" : "content";
  TextChunks& chunks = text_chunks_[event.choice];
  EventTemplate& chunk_of = reasons ? chunks.reasoning : chunks.content;
  if (chunk_of.empty()) {
    chunk_of = EventTemplate(chunk(choice_with(event.choice, {{key, ""}})), key);
  }
  return chunk_of.with(reasons ? delta.reasoning : delta.content);
}

ServerEvents ChatWriter::feed(size_t which, const OutputDelta& delta, const RequestFacts& facts) {
  AnswerEvent event = answers_.take(which, delta, facts);
  if (!options_.stream.stream) return {};
  Pending& pending = pending_[event.choice];
  if (options_.num_top_logprobs) {
    pending.logprobs.insert(pending.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
  }
  if (options_.return_token_ids) {
    pending.token_ids.insert(pending.token_ids.end(), event.token_ids.begin(),
                             event.token_ids.end());
  }
  ServerEvents events;
  if (std::string text = text_chunk(event); !text.empty()) {
    events.emplace_back().data = std::move(text);
  } else if (OrderedJson json = delta_json(event); !json.empty()) {
    events.push_back({.data = dump(chunk(choice_with(event.choice, std::move(json))))});
  }
  if (event.finish_reason != FinishReason::kNone) {
    OrderedJson last = choice_with(event.choice, OrderedJson::object());
    const Answer& answer = answers_.answer(event.choice);
    last["finish_reason"] = finish_reason(answer);
    last["stop_reason"] = stop_reason(answer, options_.sampling);
    events.push_back({.data = dump(chunk(std::move(last)))});
  }
  return events;
}

ServerEvents ChatWriter::finish() {
  ServerEvents events;
  if (options_.stream.include_usage) {
    OrderedJson json = header("chat.completion.chunk");
    json["choices"] = OrderedJson::array();
    json["usage"] = usage(answers_);
    events.push_back({.data = dump(json)});
  }
  events.push_back({.data = "[DONE]"});
  return events;
}

ServerEvents ChatWriter::failure(const HttpError& error) {
  return {{.data = error_body(error, ErrorStyle::kOpenAi)}};
}

OrderedJson ChatWriter::message(const Answer& answer) const {
  OrderedJson message;
  message["role"] = "assistant";
  std::string content = answer.content();
  message["content"] = content.empty() && answer.num_tool_calls > 0
                           ? OrderedJson()
                           : OrderedJson(std::move(content));
  message["refusal"] = nullptr;
  if (std::string reasoning = answer.reasoning();
      options_.include_reasoning && !reasoning.empty()) {
    message["reasoning_content"] = std::move(reasoning);
  }
  for (const AnswerPart& part : answer.parts) {
    if (part.kind != AnswerPart::Kind::kToolCall) continue;
    OrderedJson call;
    call["id"] = random_id("call_");
    call["type"] = "function";
    call["function"] = {{"name", part.name}, {"arguments", part.text}};
    message["tool_calls"].push_back(std::move(call));
  }
  return message;
}

OrderedJson ChatWriter::whole_choice(size_t index) const {
  const Answer& answer = answers_.answer(index);
  OrderedJson choice;
  choice["index"] = index;
  choice["message"] = message(answer);
  choice["logprobs"] = nullptr;
  if (options_.num_top_logprobs) {
    choice["logprobs"] = {
        {"content", chat_logprobs(answer.logprobs, *options_.num_top_logprobs, *text_)}};
  }
  choice["finish_reason"] = finish_reason(answer);
  choice["stop_reason"] = stop_reason(answer, options_.sampling);
  if (options_.return_token_ids) choice["token_ids"] = answer.token_ids;
  return choice;
}

std::string ChatWriter::body() {
  answers_.check_not_empty_handed();
  OrderedJson json = header("chat.completion");
  json["choices"] = OrderedJson::array();
  for (size_t i = 0; i < answers_.num_choices(); ++i) json["choices"].push_back(whole_choice(i));
  json["usage"] = usage(answers_);
  if (options_.sampling.prompt_logprobs) {
    json["prompt_logprobs"] = prompt_logprobs(answers_.prompt_logprobs(0), *text_);
  }
  if (options_.return_token_ids) json["prompt_token_ids"] = answers_.prompt_token_ids(0);
  return dump(json);
}

CallTotals ChatWriter::totals() const {
  const OrderedJson reason = finish_reason(answers_.answer(0));
  return {.prompt_tokens = answers_.num_prompt_tokens(),
          .cached_tokens = answers_.num_cached_tokens(),
          .completion_tokens = answers_.num_tokens(),
          .finish_reason = reason.is_null() ? "" : reason.get<std::string>()};
}

}  // namespace glmoe::serve::openai
