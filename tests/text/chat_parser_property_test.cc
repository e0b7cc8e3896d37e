// Mirrors: src/text/chat_parser.cc, src/text/tool_arguments.cc. Random answers, written from a
// grammar together with what they mean, cut into random deltas: the pieces of every cut add up to
// what the answer means, and what a stop string leaves does not depend on the cut.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "support/chat_answer.h"
#include "text/tool_value.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

using testing::engine_deltas;
using testing::Ids;
using testing::ParsedAnswer;

const char* const kTools = R"([{"type": "function", "function": {"name": "write_file",
  "parameters": {"properties": {"path": {"type": "string"}, "text": {"type": ["string", "null"]},
                                "line": {"type": "integer"}, "extra": {}}}}}])";

class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed) {}
  size_t below(size_t limit) {
    return static_cast<size_t>(random_uniform(seed_, 0, count_++) * static_cast<double>(limit));
  }

 private:
  uint64_t seed_, count_ = 0;
};

// Text that parsers stumble over, never white space at its ends, never empty.
std::string hostile_text(Draw& draw) {
  static const char* const kParts[] = {"a",          "hello",       "\\",      "\"",  "\n",
                                       "  ",         "\t",          "😀",       "é",   "北京",
                                       "<think>",    "</think>",    "null",    "{",   "}",
                                       "[1,",        "<arg_value>", "\\u00e9", "'",   "\x01",
                                       "</arg_key>", "<tool_call>", "\r\n",    "\\n", "STOP"};
  std::string text = "x";
  for (size_t n = draw.below(6); n > 0; --n) text += kParts[draw.below(std::size(kParts))];
  return text + "y";
}

// Writes an answer and what it means.
class Writer {
 public:
  Writer(const Tokenizer& tokenizer, Draw& draw) : draw_(draw), ids_(tokenizer) {}

  void write() {
    if (draw_.below(2) == 0) reasoning();
    for (size_t parts = draw_.below(4); parts > 0; --parts) {
      if (draw_.below(2) == 0) {
        call();
      } else {
        content();
      }
    }
    if (draw_.below(3) == 0 && !after_call_) text("\n", wanted.content);
    ids_.tag("<|user|>");
  }

  ParsedAnswer wanted;
  const std::vector<int32_t>& ids() const { return ids_.ids; }

 private:
  // As words or byte by byte, so that characters fall apart.
  void text(const std::string& text, std::string& meaning) {
    const size_t before = ids_.ids.size();
    if (draw_.below(3) == 0) {
      ids_.bytes(text);
    } else {
      ids_.text(text);
    }
    text_tokens_ = static_cast<int64_t>(ids_.ids.size() - before);
    meaning += text;
  }
  void layout(const char* text) {
    if (draw_.below(2) == 0) ids_.text(text);
  }

  void reasoning() {
    layout("\n");
    ids_.tag("<think>");
    text(hostile_text(draw_), wanted.reasoning);
    wanted.num_reasoning_tokens += text_tokens_;
    ids_.tag("</think>");
    layout("\n");
  }
  void content() {
    if (wanted.content.empty()) layout("\n\n");
    text(hostile_text(draw_), wanted.content);
    after_call_ = false;
  }
  void call() {
    ids_.tag("<tool_call>");
    layout("\n");
    std::string name;
    text(draw_.below(4) == 0 ? "unknown" : "write_file", name);
    layout("\n");
    std::string arguments;
    std::vector<std::string> keys = {"path", "text", "line", "extra"};
    for (size_t n = draw_.below(5); n > 0; --n) {
      const auto key = keys.begin() + static_cast<ptrdiff_t>(draw_.below(keys.size()));
      arguments += arguments.empty() ? "{" : ", ";
      arguments += json_string(*key) + ": " + argument(*key, name == "write_file");
      keys.erase(key);
    }
    ids_.tag("</tool_call>");
    wanted.calls.push_back({name, arguments.empty() ? "{}" : arguments + "}"});
    after_call_ = true;
  }
  // Its JSON text.
  std::string argument(const std::string& key, bool known) {
    ids_.tag("<arg_key>").text(key).tag("</arg_key>");
    layout("\n");
    ids_.tag("<arg_value>");
    std::string value;
    const bool is_string = known && (key == "path" || key == "text");
    const size_t kind = draw_.below(6);
    if (kind == 0) {
      text("17", value);
    } else if (kind == 1) {
      text("null", value);
    } else if (kind > 2) {
      text((kind == 3 ? "\n  " : "") + hostile_text(draw_) + (kind == 3 ? "\n" : ""), value);
    }
    ids_.tag("</arg_value>");
    layout("\n");
    if (kind == 0 && !is_string) return value;
    if (kind == 1 && !(known && key == "path")) return value;
    return json_string(value);
  }

  Draw& draw_;
  Ids ids_;
  int64_t text_tokens_ = 0;
  bool after_call_ = true;  // or at the beginning, where white space means nothing
};

bool whole_characters(const ChatDelta& delta) {
  std::string all = delta.reasoning + delta.content;
  for (const ToolCallDelta& call : delta.tool_calls) all += call.name + call.arguments;
  return !find_invalid_utf8(all).has_value();
}

// Ends after an even number of backslashes: not inside an escape.
bool ends_between_escapes(std::string_view arguments) {
  const size_t last = arguments.find_last_not_of('\\');
  const size_t begin = last == std::string_view::npos ? 0 : last + 1;
  if ((arguments.size() - begin) % 2 != 0) return false;
  const size_t escape = arguments.rfind("\\u");
  const bool is_escape =
      escape != std::string_view::npos && (escape == 0 || arguments[escape - 1] != '\\');
  return !is_escape || arguments.size() - escape >= 6;
}

class ChatParserProperty : public ::testing::Test {
 protected:
  static constexpr uint64_t kAnswers = 6000;
  static constexpr int kCuts = 20;  // of every answer: 120 000 in all

  const std::shared_ptr<const Tokenizer> tokenizers_[2] = {testing::chat_tokenizer(false),
                                                           testing::chat_tokenizer(true)};
  const ChatParserOptions options_{.tools_json = kTools};
};

TEST_F(ChatParserProperty, EveryCutOfAnAnswerAddsUpToWhatItMeans) {
  for (uint64_t seed = 0; seed < kAnswers; ++seed) {
    Draw draw(seed);
    const auto& tokenizer = tokenizers_[draw.below(2)];
    Writer writer(*tokenizer, draw);
    writer.write();
    SamplingParams sampling;
    sampling.skip_special_tokens = draw.below(2) == 0;
    for (int cut = 0; cut < kCuts; ++cut) {
      const size_t longest = cut == 0 ? 1'000'000 : 1 + draw.below(12);
      const auto deltas = engine_deltas(*tokenizer, writer.ids(), FinishReason::kStop, sampling,
                                        [&](size_t) { return 1 + draw.below(longest); });
      ChatAnswerParser parser(tokenizer, {}, options_);
      ParsedAnswer answer;
      for (const OutputDelta& delta : deltas) {
        const ChatDelta parsed = parser.feed(delta);
        ASSERT_TRUE(whole_characters(parsed)) << "seed " << seed;
        answer.add(parsed);
        for (const auto& call : parsed.tool_calls) {
          ASSERT_TRUE(ends_between_escapes(call.arguments)) << call.arguments << " seed " << seed;
        }
      }
      answer.num_reasoning_tokens = parser.num_reasoning_tokens();
      ASSERT_TRUE(answer.well_formed) << "seed " << seed;
      ASSERT_EQ(answer.reasoning, writer.wanted.reasoning) << "seed " << seed;
      ASSERT_EQ(answer.content, writer.wanted.content) << "seed " << seed;
      ASSERT_EQ(answer.calls, writer.wanted.calls) << "seed " << seed;
      ASSERT_EQ(answer.num_reasoning_tokens, writer.wanted.num_reasoning_tokens) << seed;
      for (const auto& call : answer.calls) ASSERT_TRUE(Json::accept(call.arguments));
    }
  }
}

// Any tokens, in any order, under stop strings: no cut differs from the answer in one piece, and
// all calls but the last are whole.
TEST_F(ChatParserProperty, NoCutOfANonsenseAnswerDiffersFromTheWhole) {
  static const char* const kTags[] = {"<think>",      "</think>",     "<tool_call>",
                                      "</tool_call>", "<arg_key>",    "</arg_key>",
                                      "<arg_value>",  "</arg_value>", "<|assistant|>"};
  static const char* const kStops[] = {"STOP", "\n\n", "x", "</tool", "<arg", "é", "yy"};
  for (uint64_t seed = 0; seed < kAnswers; ++seed) {
    Draw draw(1'000'000 + seed);
    const auto& tokenizer = tokenizers_[draw.below(2)];
    Ids ids(*tokenizer);
    for (size_t n = draw.below(40); n > 0; --n) {
      const size_t kind = draw.below(4);
      if (kind < 2) ids.tag(kTags[draw.below(std::size(kTags))]);
      if (kind == 2) ids.text(draw.below(2) == 0 ? "\n" : hostile_text(draw));
      if (kind == 3) ids.bytes(hostile_text(draw).substr(draw.below(3)));
    }
    ids.tag("<|user|>");
    SamplingParams sampling;
    sampling.skip_special_tokens = draw.below(2) == 0;
    sampling.include_stop_str_in_output = draw.below(2) == 0;
    if (draw.below(2) == 0) sampling.stop = {kStops[draw.below(std::size(kStops))]};
    const FinishReason reason = draw.below(2) == 0 ? FinishReason::kStop : FinishReason::kLength;
    const auto deltas =
        engine_deltas(*tokenizer, ids.ids, reason, sampling, [](size_t) { return size_t{1}; });
    ChatParserOptions options = options_;
    options.parse_reasoning = draw.below(4) != 0;
    options.parse_tools = draw.below(4) != 0;
    const ParsedAnswer whole =
        testing::parse_deltas(tokenizer, {}, {testing::joined(deltas)}, options);
    ASSERT_TRUE(whole.well_formed) << "seed " << seed;
    for (size_t i = 0; i + 1 < whole.calls.size(); ++i) {
      ASSERT_TRUE(Json::accept(whole.calls[i].arguments)) << whole.calls[i].arguments;
    }
    for (int cut = 0; cut < 4; ++cut) {
      const size_t longest = 1 + 3 * draw.below(4);
      const auto others = engine_deltas(*tokenizer, ids.ids, reason, sampling,
                                        [&](size_t) { return 1 + draw.below(longest); });
      ASSERT_EQ(testing::parse_deltas(tokenizer, {}, others, options), whole) << "seed " << seed;
    }
    if (!options.parse_reasoning && !options.parse_tools) {
      ASSERT_EQ(whole.content, testing::joined(deltas).text) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace glmoe
