// Tokens a second that the parser of reasoning and tool calls takes apart on one thread, one token
// a delta: prose, a call that writes a long file (a string, streamed) and one with a long list
// (held).
#include "text/chat_parser.h"

#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace glmoe {
namespace {

constexpr size_t kTokens = 100'000;
const char* const kTools = R"([{"name": "write", "parameters": {"properties": {
    "text": {"type": "string"}, "lines": {"type": "array"}}}}])";

const std::shared_ptr<const Tokenizer>& tokenizer() {
  static const auto instance = std::make_shared<const Tokenizer>(Tokenizer::from_folder(
      (std::filesystem::path(__FILE__).parent_path() / "../../models/glm4-moe-demo").string()));
  return instance;
}

void parse(benchmark::State& state, const std::string& start, const std::string& repeated,
           const std::string& end) {
  std::string text = start;
  while (text.size() < 4 * kTokens) text += repeated;
  std::vector<OutputDelta> deltas;
  for (const int32_t id : tokenizer()->encode(text + end)) {
    deltas.push_back({.text = tokenizer()->decode({&id, 1}, false), .token_ids = {id}});
    deltas.back().skip_special_tokens = false;
  }
  deltas.back().finish_reason = FinishReason::kLength;
  for (auto _ : state) {
    ChatAnswerParser parser(tokenizer(), {}, {.tools_json = kTools});
    for (const OutputDelta& delta : deltas) benchmark::DoNotOptimize(parser.feed(delta));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(deltas.size()));
}

void BM_Prose(benchmark::State& state) {
  parse(state, "<think>Well.</think>",
        "The violin is a string instrument, \"played\" with a bow.\n", "");
}
void BM_LongString(benchmark::State& state) {
  parse(state, "<tool_call>write\n<arg_key>text</arg_key>\n<arg_value>",
        "  x[i] = \"a\\n\";  // next\n", "</arg_value>\n</tool_call>");
}
void BM_LongList(benchmark::State& state) {
  parse(state, "<tool_call>write\n<arg_key>lines</arg_key>\n<arg_value>[", "{\"a\": [1, 2.5]}, ",
        "0]</arg_value>\n</tool_call>");
}
BENCHMARK(BM_Prose)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LongString)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LongList)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace glmoe
