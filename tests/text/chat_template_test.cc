#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "support/chat_options.h"
#include "support/temp_folder.h"
#include "text/tokenizer.h"

namespace glmoe {
namespace {

using ::testing::HasSubstr;

const std::string kDemo = std::string(GLMOE_MODELS) + "/glm4-moe-demo";

// The message of the Error that `body` throws; fails where none or one of another code comes.
template <class Body>
std::string error_of(ErrorCode code, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error_code_name(error.code()), error_code_name(code)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

OrderedJson read_cases(const std::string& path) {
  return parse_ordered_json(read_text_file(path), path);
}

TEST(ChatTemplateTest, RendersAndEncodesEveryDemoCase) {
  const auto chat = ChatTemplate::from_folder(kDemo);
  ASSERT_NE(chat, nullptr);
  const Tokenizer tokenizer = Tokenizer::from_folder(kDemo);
  const OrderedJson cases = read_cases(std::string(GLMOE_TEST_DATA) + "/demo_cases.json");
  ASSERT_EQ(cases.size(), 21u);
  for (const auto& item : cases) {
    const auto& request = item["request"];
    const std::string prompt = chat->render(request["messages"].dump(), options_of(request));
    EXPECT_EQ(prompt, item["prompt"].get<std::string>());
    EXPECT_EQ(tokenizer.encode(prompt), item["prompt_ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer.decode(item["greedy_ids"].get<std::vector<int32_t>>()),
              item["greedy_text"].get<std::string>());
  }
}

TEST(ChatTemplateTest, RendersEveryReferenceChatLikeJinja2) {
  const OrderedJson reference =
      read_cases(std::string(GLMOE_TEST_DATA) + "/text/template_cases.json");
  std::map<std::string, ChatTemplate> templates;
  const std::string config = read_text_file(kDemo + "/tokenizer_config.json");
  for (const std::string name : {"demo", "glm46_style", "glm47_style"}) {
    const std::string path = name == "demo"
                                 ? kDemo + "/chat_template.jinja"
                                 : std::string(GLMOE_TEST_DATA) + "/text/" + name + ".jinja";
    templates.emplace(name, ChatTemplate(read_text_file(path), config, path));
  }
  ASSERT_GE(reference["chats"].size(), 300u);
  for (const auto& item : reference["chats"]) {
    const auto& request = item["request"];
    const auto& chat = templates.at(item["template"].get<std::string>());
    EXPECT_EQ(chat.render(request["messages"].dump(), options_of(request)),
              item["prompt"].get<std::string>())
        << item.dump();
  }
}

TEST(ChatTemplateTest, ParsesToolCallArgumentsThatComeAsJsonText) {
  const ChatTemplate chat(
      "{% for c in messages[0].tool_calls %}{{ c.function.arguments | tojson }}"
      "{{ c.arguments | default('-', true) }};{% endfor %}",
      "", "t");
  EXPECT_EQ(chat.render(R"([{"role": "assistant", "tool_calls": [
      {"function": {"name": "f", "arguments": "{\"b\": 1, \"a\": [2.0]}"}},
      {"function": {"name": "f", "arguments": {"x": null}}},
      {"function": {"name": "f", "arguments": " "}}]}])"),
            R"({"b": 1, "a": [2.0]}-;{"x": null}-;{}-;)");
}

TEST(ChatTemplateTest, KeepsTheOrderOfKeys) {
  const ChatTemplate chat("{{ tools[0] | tojson }}{{ extra | tojson }}", "", "t");
  EXPECT_EQ(chat.render(R"([{"role": "user"}])",
                        {.tools_json = R"([{"z": 1, "a": {"y": 2, "b": 3}}])",
                         .template_kwargs_json = R"({"extra": {"q": 1, "c": 2}})"}),
            R"({"z": 1, "a": {"y": 2, "b": 3}}{"q": 1, "c": 2})");
}

TEST(ChatTemplateTest, GivesSpecialTokensAndTheRequestsVariables) {
  const ChatTemplate chat(
      "{{ bos_token }}{{ eos_token }}{{ additional_special_tokens }}"
      "{{ enable_thinking is defined }}{{ tools is none }}{{ mode }}"
      "{{ add_generation_prompt }}{{ unk_token is defined }}",
      R"({"bos_token": "<b>", "eos_token": {"content": "<e>"}, "unk_token": null,
                              "additional_special_tokens": ["<x>"]})",
      "t");
  EXPECT_EQ(chat.render(R"([{"role": "user"}])", {.add_generation_prompt = false,
                                                  .template_kwargs_json = R"({"mode": "m"})"}),
            "<b><e>['<x>']FalseTruemFalseFalse");
}

TEST(ChatTemplateTest, RefusesVariablesThatARequestMayNotSet) {
  const ChatTemplate chat("x", "", "t");
  const std::string user = R"([{"role": "user", "content": "hi"}])";
  for (const std::string name : {"messages", "tools", "add_generation_prompt", "eos_token",
                                 "namespace", "tokenize", "chat_template", "_private"}) {
    EXPECT_THAT(
        error_of(ErrorCode::kInvalidArgument,
                 [&] { chat.render(user, {.template_kwargs_json = "{\"" + name + "\": 1}"}); }),
        HasSubstr("'" + name + "'"));
  }
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument,
                       [&] {
                         chat.render(user,
                                     {.enable_thinking = true,
                                      .template_kwargs_json = R"({"enable_thinking": false})"});
                       }),
              HasSubstr("enable_thinking"));
  EXPECT_EQ(chat.render(user, {.template_kwargs_json = R"({"enable_thinking": false})"}), "x");
}

TEST(ChatTemplateTest, RefusesMalformedMessages) {
  const ChatTemplate chat("{{ messages[0].content }}", "", "t");
  const std::pair<const char*, const char*> cases[] = {
      {"", "messages"},
      {"{}", "array"},
      {"[]", "at least one"},
      {"[1]", "messages[0]"},
      {R"([{"role": "user"}, {"content": "x"}])", "messages[1]: 'role'"},
      {R"([{"role": 1}])", "'role'"},
      {R"([{"role": "user", "role": "tool"}])", "twice"},
      {R"([{"role": "user"}] x)", "not valid JSON"},
      {R"([{"role": "user", "n": 18446744073709551615}])", "64 bits"},
      {R"([{"role": "user", "n": 100000000000000000000}])", "64 bits"},
      {R"([{"role": "user", "n": 1e999}])", "not valid JSON"},
      {R"([{"role": "user", "n": NaN}])", "not valid JSON"},
      {"[{\"role\": \"user\", \"content\": \"\xff\"}]", "not valid JSON"},
      {R"([{"role": "user", "content": "\ud800"}])", "not valid JSON"},
      {R"([{"role": "assistant", "tool_calls": {}}])", "messages[0].tool_calls"},
      {R"([{"role": "assistant", "tool_calls": [1]}])", "messages[0].tool_calls[0]"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role": "assistant", "tool_calls": [{"function": {"arguments": "[1]"}}]}])",
       "an object was wanted"},
  };
  for (const auto& [messages, wanted] : cases) {
    // Named, since clang 14 cannot capture a structured binding by itself.
    const auto render = [&chat, &messages = messages] { chat.render(messages); };
    EXPECT_THAT(error_of(ErrorCode::kInvalidArgument, render), HasSubstr(wanted)) << messages;
  }
  std::string deep(1000, '[');
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument, [&] { chat.render(deep); }),
              HasSubstr("nested deeper"));
}

TEST(ChatTemplateTest, RefusesMalformedToolsAndKwargs) {
  const ChatTemplate chat("x", "", "t");
  const std::string user = R"([{"role": "user"}])";
  EXPECT_THAT(
      error_of(ErrorCode::kInvalidArgument, [&] { chat.render(user, {.tools_json = "{}"}); }),
      HasSubstr("tools"));
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument,
                       [&] { chat.render(user, {.template_kwargs_json = "[1]"}); }),
              HasSubstr("template_kwargs"));
}

TEST(ChatTemplateTest, SaysWhatTheTemplateRefusedAndInWhichLine) {
  const ChatTemplate chat("a\n{{ raise_exception('roles must alternate') }}", "", "my.jinja");
  EXPECT_THAT(error_of(ErrorCode::kInvalidArgument, [&] { chat.render(R"([{"role": "user"}])"); }),
              HasSubstr("my.jinja, line 2: the template refused the input: roles must alternate"));
}

TEST(ChatTemplateTest, TakesTheTemplateInsideTheTokenizerConfig) {
  const testing::TempFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    write_text_file_atomically(folder.path() + "/" + name, text);
  };
  EXPECT_EQ(ChatTemplate::from_folder(folder.path()), nullptr);
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(ChatTemplate::from_folder(folder.path()), nullptr);

  const std::string user = R"([{"role": "user"}])";
  write("tokenizer_config.json", R"({"chat_template": "one {{ messages|length }}"})");
  EXPECT_EQ(ChatTemplate::from_folder(folder.path())->render(user), "one 1");

  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "with tools"},
                                                       {"name": "default", "template": "plain"}]})");
  const auto named = ChatTemplate::from_folder(folder.path());
  EXPECT_EQ(named->render(user), "plain");
  EXPECT_EQ(named->render(user, {.tools_json = R"([{"name": "f"}])"}), "with tools");
  EXPECT_EQ(named->render(user, {.tools_json = "[]"}), "plain");

  write("chat_template.jinja", "from the file");
  EXPECT_EQ(ChatTemplate::from_folder(folder.path())->render(user), "from the file");
}

TEST(ChatTemplateTest, RefusesTemplatesThatAreNone) {
  const testing::TempFolder folder;
  const auto write = [&](const std::string& text) {
    write_text_file_atomically(folder.path() + "/tokenizer_config.json", text);
  };
  const auto load = [&] { ChatTemplate::from_folder(folder.path())->render(R"([{"role": "u"}])"); };
  write(R"({"chat_template": 5})");
  EXPECT_THAT(error_of(ErrorCode::kCorrupt, load), HasSubstr("chat_template"));
  write(R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_THAT(error_of(ErrorCode::kUnsupported, load), HasSubstr("'default'"));
  write(R"({"chat_template": [{"name": "default"}]})");
  EXPECT_THAT(error_of(ErrorCode::kCorrupt, load), HasSubstr("template"));
  write(R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(error_of(ErrorCode::kCorrupt, load), HasSubstr("line 1"));
  write("[1, 2]");
  EXPECT_THAT(error_of(ErrorCode::kCorrupt, load), HasSubstr("tokenizer_config.json"));
}

}  // namespace
}  // namespace glmoe
