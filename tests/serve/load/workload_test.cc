#include "serve/load/workload.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "glmoe/error.h"

namespace glmoe::serve {
namespace {

class LoadFile : public ::testing::Test {
 protected:
  LoadFile()
      : path_(std::filesystem::temp_directory_path() /
              ("glmoe_workload_" + std::to_string(::getpid()) + ".jsonl")) {}
  ~LoadFile() override { std::filesystem::remove(path_); }

  std::string write(const std::string& text) {
    std::ofstream(path_) << text;
    return path_.string();
  }
  void refused(const std::string& text, const std::string& name, bool chat = true) {
    try {
      read_load_file(write(text), chat);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
  std::filesystem::path path_;
};

TEST_F(LoadFile, HoldsPromptsAndMessages) {
  const std::string path = write(
      "{\"prompt\": \"a\", \"max_tokens\": 3}\n\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}\n");
  Workload workload({.model = "m", .file = path});
  const Json first = Json::parse(workload.body(0)), second = Json::parse(workload.body(1));
  EXPECT_EQ(first["messages"][0]["content"], "a");
  EXPECT_EQ(first["max_tokens"], 3);
  EXPECT_EQ(first["stream_options"]["include_usage"], true);
  EXPECT_FALSE(first.contains("ignore_eos"));
  EXPECT_EQ(second["messages"][0]["content"], "b");
  EXPECT_FALSE(second.contains("max_tokens"));
  EXPECT_EQ(workload.body(2), workload.body(0));  // from the beginning again
}

TEST_F(LoadFile, IsReadInTheFormOfShareGpt) {
  const std::string path = write(
      R"([{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "12345678"}]},
          {"conversations": [{"from": "human", "value": "alone"}]}])");
  const std::vector<LoadPrompt> prompts = read_load_file(path, /*chat=*/false);
  ASSERT_EQ(prompts.size(), 1u);
  EXPECT_EQ(prompts[0].messages_or_prompt, "q");
  EXPECT_EQ(prompts[0].max_tokens, 2);
}

TEST_F(LoadFile, IsRefusedWithItsLine) {
  refused("", "no prompts");
  refused("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"", "line 2");
  refused("{\"prompt\": 5}\n", "prompt");
  refused("{}\n", "line 1");
  refused("{\"prompt\": \"a\", \"max_tokens\": -1}\n", "max_tokens");
  refused("{\"messages\": []}\n", "messages");
  refused("{\"messages\": [{\"role\": \"user\"}]}\n", "--endpoint chat", /*chat=*/false);
  refused("[{\"conversations\": 5}]", "conversations");
}

TEST_F(LoadFile, GivesWayToTheFlagsAndTheExtraBody) {
  const std::string path = write("{\"prompt\": \"a\", \"max_tokens\": 3}\n");
  Workload workload({.chat = false,
                     .model = "m",
                     .file = path,
                     .file_output_len = 9,
                     .ignore_eos = true,
                     .temperature = 0.5,
                     .extra_body = R"({"top_k": 4, "model": "other"})"});
  const Json body = Json::parse(workload.body(0));
  EXPECT_EQ(body["prompt"], "a");
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["ignore_eos"], true);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["top_k"], 4);
  EXPECT_EQ(body["model"], "other");
  for (const char* extra : {"[1]", "{", "x"}) {
    EXPECT_THROW(Workload({.file = path, .extra_body = extra}), Error) << extra;
  }
}

}  // namespace
}  // namespace glmoe::serve
