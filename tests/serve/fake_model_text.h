// A small model text for the tests of the JSON side: a token a byte, and the markup of GLM's
// templates as tokens of their own. Answers are scripted: a delta's text is a row of records.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "serve/api/api_call.h"

namespace glmoe::serve::testing {

inline constexpr std::array<std::string_view, 8> kMarkup = {
    "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
    "<think>",    "</think>", "<tool_call>",   "</tool_call>"};

// Records of a scripted answer: "R" reasoning, "C" content, "N<i>" a call's name, "A<i>" its
// arguments, each ended by U+001E.
inline std::string reasoning(const std::string& text) { return "R" + text + "\x1e"; }
inline std::string content(const std::string& text) { return "C" + text + "\x1e"; }
inline std::string call_name(int index, const std::string& name) {
  return "N" + std::to_string(index) + name + "\x1e";
}
inline std::string call_arguments(int index, const std::string& text) {
  return "A" + std::to_string(index) + text + "\x1e";
}

class ScriptedSplitter : public ChatSplitter {
 public:
  ChatDelta feed(const OutputDelta& delta) override {
    ChatDelta result;
    std::string_view rest = delta.text;
    while (!rest.empty()) {
      const size_t end = rest.find('\x1e');
      const std::string record(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      if (record[0] == 'R') {
        result.reasoning += record.substr(1);
        ++num_reasoning_;
      } else if (record[0] == 'C') {
        result.content += record.substr(1);
      } else {
        ToolCallDelta call{.index = record[1] - '0'};
        (record[0] == 'N' ? call.name : call.arguments) = record.substr(2);
        result.tool_calls.push_back(std::move(call));
      }
    }
    return result;
  }
  int64_t num_reasoning_tokens() const override { return num_reasoning_; }

 private:
  int64_t num_reasoning_ = 0;
};

class FakeText : public ModelText {
 public:
  bool glm47 = false;        // the template without line breaks, which opens <think> itself
  bool writes_calls = true;  // false: a template that does not know tool calls
  mutable ChatOptions last_options;
  mutable ChatParserOptions last_parser;

  std::vector<int32_t> tokenize(const std::string& text) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size();) {
      const size_t token = markup_at(std::string_view(text).substr(i));
      if (token < kMarkup.size()) {
        ids.push_back(256 + static_cast<int32_t>(token));
        i += kMarkup[token].size();
      } else {
        ids.push_back(static_cast<unsigned char>(text[i++]));
      }
    }
    return ids;
  }
  std::string token_bytes(int32_t id) const override {
    if (id < 256) return std::string(1, static_cast<char>(id));
    return id < 264 ? std::string(kMarkup[static_cast<size_t>(id) - 256]) : std::string();
  }
  std::string detokenize(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids) text += token_bytes(id);
    return text;
  }
  std::string render_chat(const std::string& messages_json,
                          const ChatOptions& options) const override {
    last_options = options;
    const std::string line = glm47 ? "" : "\n";
    std::string text;
    if (!options.tools_json.empty()) text += "<|system|>" + line + options.tools_json;
    for (const Json& message : Json::parse(messages_json)) {
      const std::string role = message.at("role");
      const std::string body = message.at("content");
      if (body.find("refuse me") != std::string::npos) fail_argument("line 3: refused");
      text += "<|" + (role == "tool" ? std::string("observation") : role) + "|>" + line;
      if (role == "assistant") text += (glm47 ? "</think>" : "<think></think>\n");
      text += body;
      for (const Json& call : message.value("tool_calls", Json::array())) {
        if (!writes_calls) continue;
        text += line + "<tool_call>" + call.at("function").at("name").get<std::string>() + line +
                "</tool_call>";
      }
    }
    if (options.add_generation_prompt) {
      const bool off = options.enable_thinking == false;
      text += "<|assistant|>";
      if (glm47) text += off ? "</think>" : "<think>";
      if (!glm47 && off) text += "\n<think></think>";
    }
    return text;
  }
  std::vector<int32_t> encode_chat(const std::string& messages_json,
                                   const ChatOptions& options) const override {
    return tokenize(render_chat(messages_json, options));
  }
  std::unique_ptr<ChatSplitter> chat_splitter(const std::vector<int32_t>&,
                                              const ChatParserOptions& options) const override {
    last_parser = options;
    return std::make_unique<ScriptedSplitter>();
  }
  int64_t vocab_size() const override { return 300; }

 private:
  static size_t markup_at(std::string_view text) {
    size_t i = 0;
    while (i < kMarkup.size() && text.substr(0, kMarkup[i].size()) != kMarkup[i]) ++i;
    return i;
  }
};

// A context over a FakeText.
struct FakeServer {
  FakeText text;
  ApiContext context{.text = &text,
                     .model_names = {"glm", "glm-alias"},
                     .max_model_len = 4096,
                     .created = 1700000000};
};

}  // namespace glmoe::serve::testing
