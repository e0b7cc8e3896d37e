#include "serve/openai/completion_writer.h"

#include <utility>

#include "serve/api/json_fields.h"

namespace glmoe::serve::openai {
namespace {

template <class From, class T>
void append(std::vector<T>& to, const From& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

CompletionWriter::CompletionWriter(CompletionAnswerOptions options, AnswerCollector answers,
                                   const ModelText& text)
    : options_(std::move(options)),
      answers_(std::move(answers)),
      text_(&text),
      choices_(answers_.num_choices(), Choice(text)) {}

OrderedJson CompletionWriter::header() const {
  OrderedJson json;
  json["id"] = options_.id;
  json["object"] = "text_completion";
  json["created"] = options_.created;
  json["model"] = options_.model;
  json["choices"] = OrderedJson::array();
  return json;
}

OrderedJson CompletionWriter::usage_json() const {
  OrderedJson json = usage(answers_);
  json["completion_tokens"] = num_generated();
  json["total_tokens"] = answers_.num_prompt_tokens() + num_generated();
  return json;
}

int64_t CompletionWriter::num_generated() const {
  return options_.only_prompt ? 0 : answers_.num_tokens();
}

OrderedJson CompletionWriter::chunk(OrderedJson choice) const {
  OrderedJson json = header();
  json["choices"].push_back(std::move(choice));
  if (options_.stream.continuous_usage) {
    json["usage"] = usage_json();
  } else if (options_.stream.include_usage) {
    json["usage"] = nullptr;
  }
  return json;
}

OrderedJson CompletionWriter::choice_with(size_t index, std::string text,
                                          const std::vector<PositionLogprobs>& positions,
                                          const std::vector<int32_t>& token_ids) {
  Choice& state = choices_[index];
  const size_t which = answers_.request_of(index);
  std::vector<PositionLogprobs> all_positions;
  std::vector<int32_t> all_ids;
  const bool begins = !state.echoed;
  state.echoed = true;
  if (begins && options_.echo) {
    text = options_.prompt_texts[which] + text;
    if (options_.logprobs) {
      all_positions = answers_.prompt_logprobs(which);
      all_ids = answers_.prompt_token_ids(which);
      all_positions.resize(all_ids.size());
    }
  }
  append(all_positions, positions);
  append(all_ids, token_ids);
  OrderedJson choice;
  choice["index"] = index;
  choice["text"] = std::move(text);
  choice["logprobs"] =
      options_.logprobs ? state.logprobs.add(all_positions, all_ids) : OrderedJson();
  choice["finish_reason"] = nullptr;
  if (options_.return_token_ids) {
    choice["token_ids"] = token_ids;
    if (begins) choice["prompt_token_ids"] = answers_.prompt_token_ids(which);
  }
  return choice;
}

void CompletionWriter::add_end(size_t index, OrderedJson& choice) const {
  const Answer& answer = answers_.answer(index);
  choice["finish_reason"] = options_.only_prompt ? OrderedJson("length") : finish_reason(answer);
  choice["stop_reason"] =
      options_.only_prompt ? OrderedJson() : stop_reason(answer, options_.sampling);
}

ServerEvents CompletionWriter::feed(size_t which, const OutputDelta& delta,
                                    const RequestFacts& facts) {
  AnswerEvent event = answers_.take(which, delta, facts);
  if (!options_.stream.stream) return {};
  if (options_.only_prompt) {
    event.delta.content.clear();
    event.token_ids = {};
    event.logprobs = {};
  }
  const bool last = event.finish_reason != FinishReason::kNone;
  if (!last && only_text_changes(event.choice)) return text_chunk(event);
  Choice& state = choices_[event.choice];
  append(state.pending_logprobs, event.logprobs);
  append(state.pending_ids, event.token_ids);
  if (event.delta.content.empty() && !last) return {};
  const std::vector<PositionLogprobs> logprobs = std::exchange(state.pending_logprobs, {});
  const std::vector<int32_t> ids = std::exchange(state.pending_ids, {});
  OrderedJson choice = choice_with(event.choice, std::move(event.delta.content), logprobs, ids);
  if (last) add_end(event.choice, choice);
  return {{.data = dump(chunk(std::move(choice)))}};
}

bool CompletionWriter::only_text_changes(size_t index) const {
  return !options_.logprobs && !options_.return_token_ids && !options_.stream.continuous_usage &&
         (!options_.echo || choices_[index].echoed);
}

ServerEvents CompletionWriter::text_chunk(const AnswerEvent& event) {
  ServerEvents events;
  if (event.delta.content.empty()) return events;
  EventTemplate& chunk_of = choices_[event.choice].text_chunk;
  if (chunk_of.empty()) {
    chunk_of = EventTemplate(chunk(choice_with(event.choice, "", {}, {})), "text");
  }
  events.emplace_back().data = chunk_of.with(event.delta.content);
  return events;
}

ServerEvents CompletionWriter::finish() {
  ServerEvents events;
  if (options_.stream.include_usage) {
    OrderedJson json = header();
    json["usage"] = usage_json();
    events.push_back({.data = dump(json)});
  }
  events.push_back({.data = "[DONE]"});
  return events;
}

ServerEvents CompletionWriter::failure(const HttpError& error) {
  return {{.data = error_body(error, ErrorStyle::kOpenAi)}};
}

std::string CompletionWriter::body() {
  answers_.check_not_empty_handed();
  OrderedJson json = header();
  for (size_t i = 0; i < answers_.num_choices(); ++i) {
    const Answer& answer = answers_.answer(i);
    OrderedJson choice = options_.only_prompt
                             ? choice_with(i, "", {}, {})
                             : choice_with(i, answer.content(), answer.logprobs, answer.token_ids);
    add_end(i, choice);
    if (options_.prompt_logprobs) {
      choice["prompt_logprobs"] =
          prompt_logprobs(answers_.prompt_logprobs(answers_.request_of(i)), *text_);
    }
    json["choices"].push_back(std::move(choice));
  }
  json["usage"] = usage_json();
  return dump(json);
}

CallTotals CompletionWriter::totals() const {
  const OrderedJson reason = finish_reason(answers_.answer(0));
  return {.prompt_tokens = answers_.num_prompt_tokens(),
          .cached_tokens = answers_.num_cached_tokens(),
          .completion_tokens = num_generated(),
          .finish_reason = reason.is_null() ? "" : reason.get<std::string>()};
}

}  // namespace glmoe::serve::openai
