#include <gmock/gmock.h>

#include "serve/fake_text.h"
#include "serve/openai/api.h"

namespace glmoe::serve::openai {
namespace {

using testing::error_of;
using testing::FakeServer;

TEST(Models, AreListedInTheFormsOfBothApis) {
  const FakeServer server;
  const OrderedJson json = OrderedJson::parse(models_body(server.context));
  EXPECT_EQ(json["object"], "list");
  ASSERT_EQ(json["data"].size(), 2u);
  EXPECT_EQ(json["data"][1]["id"], "glm-alias");
  EXPECT_EQ(json["data"][0]["object"], "model");
  EXPECT_EQ(json["data"][0]["created"], 1700000000);
  EXPECT_EQ(json["data"][0]["max_model_len"], 4096);
  EXPECT_EQ(json["data"][0]["type"], "model");
  EXPECT_EQ(json["data"][0]["created_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(json["has_more"], false);
  EXPECT_EQ(OrderedJson::parse(model_body("glm", server.context)), json["data"][0]);
  EXPECT_EQ(error_of([&] { model_body("other", server.context); }).status, 404);
}

TEST(Tokenize, CountsTextAndChats) {
  const FakeServer server;
  OrderedJson json = OrderedJson::parse(
      tokenize_body(R"({"prompt": "a<think>", "return_token_strs": true})", server.context));
  EXPECT_EQ(json.dump(),
            R"({"count":2,"max_model_len":4096,"tokens":[97,260],"token_strs":["a","<think>"]})");
  json = OrderedJson::parse(tokenize_body(
      R"({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": false})",
      server.context));
  EXPECT_EQ(json["count"], 4);
  EXPECT_EQ(OrderedJson::parse(tokenize_body(R"({"prompt": ""})", server.context))["count"], 0);
}

TEST(Tokenize, RefusesWrongBodies) {
  const FakeServer server;
  const auto param = [&](const std::string& body) {
    return error_of([&] { tokenize_body(body, server.context); }).param;
  };
  EXPECT_EQ(param("{}"), "prompt");
  EXPECT_EQ(param(R"({"prompt": 5})"), "prompt");
  EXPECT_EQ(param(R"({"prompt": "a", "return_token_strs": 5})"), "return_token_strs");
  EXPECT_EQ(param(R"({"messages": [{}]})"), "messages[0].role");
  EXPECT_EQ(param(R"({"prompt": "a", "model": "other"})"), "model");
}

TEST(Detokenize, IsTheWayBack) {
  const FakeServer server;
  EXPECT_EQ(detokenize_body(R"({"tokens": [97, 260]})", server.context),
            R"({"prompt":"a<think>"})");
  const auto param = [&](const std::string& body) {
    return error_of([&] { detokenize_body(body, server.context); }).param;
  };
  EXPECT_EQ(param("{}"), "tokens");
  EXPECT_EQ(param(R"({"tokens": "a"})"), "tokens");
  EXPECT_EQ(param(R"({"tokens": [1, 300]})"), "tokens[1]");
  EXPECT_EQ(param(R"({"tokens": [1.5]})"), "tokens[0]");
}

TEST(ApplyTemplate, ShowsThePrompt) {
  const FakeServer server;
  EXPECT_EQ(apply_template_body(R"({"messages": [{"role": "user", "content": "hi"}],
                                    "chat_template_kwargs": {"enable_thinking": false}})",
                                server.context),
            R"({"prompt":"<|user|>\nhi<|assistant|>\n<think></think>"})");
  EXPECT_EQ(error_of([&] { apply_template_body("{}", server.context); }).param, "messages");
}

}  // namespace
}  // namespace glmoe::serve::openai
