// Fuzz target: answers of a chat model, as token ids. Mirrors: src/text/chat_parser.cc and what it
// is made of, reached through it alone.
//
// Input: a byte of options, a byte that deals the tokens out to deltas, then tokens, one a byte:
// 0xF0 to 0xF9 are markup, the rest are bytes of text. The
// deltas add up to the answer in one piece; all calls but the last one are whole JSON objects.
#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/byte_level.h"
#include "text/chat_parser.h"
#include "text/incremental_decoder.h"
#include "text/stop_matcher.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

constexpr const char* kTags[] = {"<think>",   "</think>",     "<tool_call>", "</tool_call>",
                                 "<arg_key>", "</arg_key>",   "<arg_value>", "</arg_value>",
                                 "<|user|>",  "<|assistant|>"};
constexpr int32_t kFirstTag = 300;

// All single bytes, and the tags: special or not, by turns.
std::shared_ptr<const Tokenizer> built_in(bool special) {
  const ByteAlphabet alphabet;
  Json vocab = Json::object(), added = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[alphabet.spelling(std::string(1, static_cast<char>(byte)))] = byte;
  }
  for (const char* tag : kTags) {
    added.push_back({{"id", kFirstTag + added.size()}, {"content", tag}, {"special", special}});
  }
  const Json json = {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}},
      {"added_tokens", added},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}}};
  return std::make_shared<const Tokenizer>(Tokenizer::from_json(json.dump()));
}

constexpr const char* kTools = R"([{"name": "f", "parameters": {"properties": {
    "s": {"type": "string"}, "i": {"type": "integer"}, "n": {"type": ["string", "null"]},
    "o": {"type": "object"}, "a": {"type": "array"}}}}])";

struct Sums {
  std::string reasoning, content;
  std::vector<std::string> names, arguments;
  int64_t tokens = 0;
  bool operator==(const Sums&) const = default;

  void add(const ChatDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    check(!find_invalid_utf8(delta.reasoning) && !find_invalid_utf8(delta.content));
    for (const ToolCallDelta& call : delta.tool_calls) {
      const auto index = static_cast<size_t>(call.index);
      check(!find_invalid_utf8(call.arguments) && (index == names.size()) == !call.name.empty());
      if (index == names.size()) {
        names.push_back(call.name);
        arguments.emplace_back();
      }
      check(index + 1 == names.size());
      arguments[index] += call.arguments;
    }
  }
};

Sums parse(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& prompt,
           const std::vector<int32_t>& ids, uint8_t options, size_t longest) {
  const ChatParserOptions parser_options{.tools_json = kTools,
                                         .parse_tools = (options & 2) == 0,
                                         .parse_reasoning = (options & 4) == 0};
  const bool skip = (options & 8) != 0;
  ChatAnswerParser parser(tokenizer, prompt, parser_options);
  IncrementalDecoder decoder(tokenizer.get(), skip);
  StopMatcher matcher((options & 16) != 0 ? std::vector<std::string>{"stop", "</t"}
                                          : std::vector<std::string>{});
  Sums sums;
  bool stopped = false;
  for (size_t i = 0; !stopped;) {
    OutputDelta delta;
    delta.skip_special_tokens = skip;
    const auto release = [&](const std::string& text) {
      const StopMatcher::Result result = matcher.feed(text);
      delta.text += result.text;
      stopped |= result.matched;
    };
    for (size_t n = 1 + i % longest; n > 0 && i < ids.size() && !stopped; --n, ++i) {
      delta.token_ids.push_back(ids[i]);
      release(decoder.feed(ids[i]));
    }
    if (!stopped && i == ids.size()) {
      release(decoder.flush());
      if (!stopped) delta.text += matcher.flush();
      stopped = true;
    }
    if (stopped) delta.finish_reason = FinishReason::kLength;
    sums.add(parser.feed(delta));
  }
  sums.tokens = parser.num_reasoning_tokens();
  check(static_cast<size_t>(parser.num_tool_calls()) == sums.names.size());
  return sums;
}

}  // namespace
}  // namespace glmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glmoe;
  static const std::shared_ptr<const Tokenizer> tokenizers[] = {built_in(false), built_in(true)};
  if (size < 2) return 0;
  const uint8_t options = data[0];
  const auto& tokenizer = tokenizers[options & 1];
  std::vector<int32_t> ids;
  for (size_t i = 2; i < size; ++i) {
    const bool is_tag = data[i] >= 0xF0 && data[i] - 0xF0 < static_cast<int>(std::size(kTags));
    ids.push_back(is_tag ? kFirstTag + data[i] - 0xF0 : data[i]);
  }
  std::vector<int32_t> prompt;  // with option 32, the first tokens are the prompt's
  if ((options & 32) != 0) {
    prompt.push_back(*tokenizer->token_id("<|assistant|>"));
    const size_t count = std::min<size_t>(ids.size(), data[1] >> 3);
    prompt.insert(prompt.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
    ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
  }
  const Sums whole = parse(tokenizer, prompt, ids, options, ids.size() + 1);
  const Sums pieces = parse(tokenizer, prompt, ids, options, 1 + data[1] % 8);
  check(pieces == parse(tokenizer, prompt, ids, options, 1));
  check(whole == pieces);
  for (size_t i = 0; i + 1 < whole.arguments.size(); ++i) {
    check(Json::accept(whole.arguments[i]));
  }
  return 0;
}
