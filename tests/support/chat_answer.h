// Answers of a chat model for tests: real token ids of the demo tokenizer, deltas as the engine
// makes them, and what a parser's deltas add up to.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "glmoe/output.h"
#include "glmoe/request.h"
#include "text/chat_parser.h"
#include "text/incremental_decoder.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"

namespace glmoe::testing {

// The demo's tokenizer flags all its added tokens special; in published models the tags of thinking
// and tools are not, so that they stay in the text.
inline std::shared_ptr<const Tokenizer> chat_tokenizer(bool tags_are_special) {
  Json json = read_json_file(GLMOE_MODELS "/glm4-moe-demo/tokenizer.json");
  for (Json& token : json["added_tokens"]) {
    const std::string content = token["content"];
    const bool is_turn = content.substr(0, 2) == "<|" || content[0] == '[';
    if (!is_turn) token["special"] = tags_are_special;
  }
  return std::make_shared<const Tokenizer>(Tokenizer::from_json(json.dump()));
}

// Token ids, written down: tags are added tokens, text is never one.
class Ids {
 public:
  explicit Ids(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  Ids& tag(std::string_view name) {
    ids.push_back(tokenizer_.token_id(name).value());
    return *this;
  }
  Ids& text(std::string_view text) {
    const auto more = tokenizer_.encode(text, false);
    ids.insert(ids.end(), more.begin(), more.end());
    return *this;
  }
  Ids& bytes(std::string_view text) {  // a token for every byte
    for (const char byte : text) ids.push_back(*tokenizer_.token_id(std::string(1, byte)));
    return *this;
  }
  // Markup in the text is markup.
  Ids& marked(std::string_view text) {
    const auto more = tokenizer_.encode(text, true);
    ids.insert(ids.end(), more.begin(), more.end());
    return *this;
  }
  std::vector<int32_t> ids;

 private:
  const Tokenizer& tokenizer_;
};

struct ParsedCall {
  std::string name, arguments;
  bool operator==(const ParsedCall&) const = default;
};

// All deltas of an answer, added up as a client does.
struct ParsedAnswer {
  std::string reasoning, content;
  std::vector<ParsedCall> calls;
  int64_t num_reasoning_tokens = 0;
  bool well_formed = true;  // each index begins with a name, in order; nothing after the next began
  bool operator==(const ParsedAnswer&) const = default;

  void add(const ChatDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const ToolCallDelta& call : delta.tool_calls) {
      const auto index = static_cast<size_t>(call.index);
      const bool is_new = index == calls.size();
      well_formed &= is_new != call.name.empty() && index + (is_new ? 0 : 1) == calls.size();
      if (is_new) calls.push_back({call.name, ""});
      if (index < calls.size()) calls[index].arguments += call.arguments;
    }
  }
};

// What the engine would release for `ids`, `sizes(i)` tokens in the i-th delta. `ids` end with a
// token that ends the answer where the reason is kStop.
template <class Sizes>
std::vector<OutputDelta> engine_deltas(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                                       FinishReason reason, const SamplingParams& sampling,
                                       Sizes&& sizes) {
  IncrementalDecoder decoder(&tokenizer, sampling.skip_special_tokens);
  StopMatcher matcher(sampling.stop, sampling.include_stop_str_in_output);
  std::vector<OutputDelta> deltas;
  const auto release = [&](const std::string& piece, OutputDelta& delta) {
    const StopMatcher::Result result = matcher.feed(piece);
    delta.text += result.text;
    if (!result.matched) return false;
    delta.finish_reason = FinishReason::kStop;
    delta.stop_reason = result.stop_string;
    return true;
  };
  const size_t count = ids.size() - (reason == FinishReason::kStop ? 1 : 0);
  for (size_t i = 0; i < ids.size() || deltas.empty();) {
    OutputDelta& delta = deltas.emplace_back();
    delta.skip_special_tokens = sampling.skip_special_tokens;
    for (size_t n = sizes(deltas.size()); n > 0 && i < ids.size(); --n, ++i) {
      delta.token_ids.push_back(ids[i]);
      if (i < count && release(decoder.feed(ids[i]), delta)) return deltas;
    }
  }
  OutputDelta& last = deltas.back();
  if (release(decoder.flush(), last)) return deltas;
  last.text += matcher.flush();
  last.finish_reason = reason;
  if (reason == FinishReason::kStop) last.stop_reason = std::to_string(ids.back());
  return deltas;
}

inline ParsedAnswer parse_deltas(const std::shared_ptr<const Tokenizer>& tokenizer,
                                 const std::vector<int32_t>& prompt,
                                 const std::vector<OutputDelta>& deltas,
                                 const ChatParserOptions& options) {
  ChatAnswerParser parser(tokenizer, prompt, options);
  ParsedAnswer answer;
  for (const OutputDelta& delta : deltas) answer.add(parser.feed(delta));
  answer.num_reasoning_tokens = parser.num_reasoning_tokens();
  answer.well_formed &= parser.num_tool_calls() == static_cast<int64_t>(answer.calls.size());
  return answer;
}

// The one delta that all of `deltas` come to: an answer that is not streamed.
inline OutputDelta joined(const std::vector<OutputDelta>& deltas) {
  OutputDelta all = deltas.back();
  all.text.clear();
  all.token_ids.clear();
  for (const OutputDelta& delta : deltas) {
    all.text += delta.text;
    all.token_ids.insert(all.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  }
  return all;
}

}  // namespace glmoe::testing
