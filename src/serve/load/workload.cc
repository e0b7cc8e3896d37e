#include "serve/load/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "serve/load/text_maker.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;

// What random numbers are for: streams of the generator.
constexpr uint64_t kTexts = 1, kPrefixes = 2, kInputLengths = 3, kOutputLengths = 4, kWhich = 5;

LoadPrompt make_prompt(std::string text, bool chat, int64_t max_tokens) {
  LoadPrompt prompt{.messages_or_prompt = {}, .max_tokens = max_tokens};
  if (chat) {
    prompt.messages_or_prompt = Json::array({{{"role", "user"}, {"content", std::move(text)}}});
  } else {
    prompt.messages_or_prompt = std::move(text);
  }
  return prompt;
}

LoadPrompt prompt_of_line(const Json& json, const std::string& where, bool chat) {
  const JsonReader reader(json, where);
  const int64_t max_tokens = reader.integer_or("max_tokens", 0);
  if (max_tokens < 0)
    fail_argument("{}: max_tokens is {}: 1 or more was wanted", where, max_tokens);
  if (!reader.has("messages")) return make_prompt(reader.string("prompt"), chat, max_tokens);
  if (!chat) {
    fail_argument("{}: \"messages\" need --endpoint chat; for completions a \"prompt\" is wanted",
                  where);
  }
  const Json& messages = reader.raw("messages");
  if (!messages.is_array() || messages.empty()) {
    fail_argument("{}: messages: a list of at least one message was wanted", where);
  }
  return {.messages_or_prompt = messages, .max_tokens = max_tokens};
}

// ShareGPT has no lengths of answers in tokens: four bytes count as one.
void add_conversation(const Json& entry, const std::string& where, bool chat,
                      std::vector<LoadPrompt>& prompts) {
  const JsonReader reader(entry, where);
  const Json& turns = reader.raw("conversations");
  if (!turns.is_array()) fail(ErrorCode::kCorrupt, "{}: conversations: a list was wanted", where);
  if (turns.size() < 2) return;  // nothing was answered
  const JsonReader question(turns[0], where + " conversations[0]");
  const JsonReader answer(turns[1], where + " conversations[1]");
  std::string text = question.string("value");
  const auto bytes = static_cast<int64_t>(answer.string("value").size());
  if (text.empty()) return;
  prompts.push_back(make_prompt(std::move(text), chat, std::max<int64_t>(bytes / 4, 1)));
}

}  // namespace

std::vector<LoadPrompt> read_load_file(const std::string& path, bool chat) {
  const std::string text = read_text_file(path);
  std::vector<LoadPrompt> prompts;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    const Json list = parse_json(text, path);
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string where = fmt::format("{} entry {}", path, i);
      if (list[i].is_object() && list[i].contains("conversations")) {
        add_conversation(list[i], where, chat, prompts);
      } else {
        prompts.push_back(prompt_of_line(list[i], where, chat));
      }
    }
  } else {
    size_t number = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string line = text.substr(begin, end - begin);
      begin = end + 1;
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string where = fmt::format("{} line {}", path, number);
      prompts.push_back(prompt_of_line(parse_json(line, where), where, chat));
    }
  }
  if (prompts.empty()) fail_argument("{}: no prompts in this file", path);
  return prompts;
}

Workload::Workload(WorkloadOptions options) : options_(std::move(options)) {
  if (!options_.extra_body.empty()) {
    try {
      extra_ = parse_json(options_.extra_body, "--extra_body");
    } catch (const Error& error) {
      fail_argument("{}", error.what());
    }
    if (!extra_.is_object()) fail_argument("--extra_body: a JSON object was wanted");
  }
  if (options_.file.empty()) return;
  prompts_ = read_load_file(options_.file, options_.chat);
  origin_ = fmt::format("{}, {} prompts", options_.file, prompts_.size());
  if (options_.file_output_len) {
    for (LoadPrompt& prompt : prompts_) prompt.max_tokens = *options_.file_output_len;
  }
}

int64_t Workload::length(int64_t mean, uint64_t stream, int64_t index) const {
  const double low = std::ceil(static_cast<double>(mean) * (1.0 - options_.range_ratio));
  const double high = std::floor(static_cast<double>(mean) * (1.0 + options_.range_ratio));
  const double drawn = random_uniform(options_.seed, stream, static_cast<uint64_t>(index));
  return std::max<int64_t>(static_cast<int64_t>(low + drawn * (high - low + 1.0)), 1);
}

asio::awaitable<void> Workload::prepare(HttpClient& client, int64_t count) {
  if (options_.file.empty()) co_await make_random(client, count);
}

asio::awaitable<void> Workload::make_random(HttpClient& client, int64_t count) {
  TextMaker maker(client, options_.model, options_.seed);
  co_await maker.start();
  origin_ = maker.exact() ? "random text, cut by the server's tokenizer"
                          : "random words (the server offers no /tokenize): lengths are in words";
  std::vector<std::string> prefixes;
  for (int64_t i = 0; options_.prefix_len > 0 && i < options_.num_prefixes; ++i) {
    prefixes.push_back(
        co_await maker.make(options_.prefix_len, kPrefixes, static_cast<uint64_t>(i)));
  }
  for (int64_t i = 0; i < count; ++i) {
    std::string text = co_await maker.make(length(options_.input_len, kInputLengths, i), kTexts,
                                           static_cast<uint64_t>(i));
    if (!prefixes.empty()) {
      const uint64_t bits = random_bits(options_.seed, kWhich, static_cast<uint64_t>(i));
      text.insert(0, prefixes[bits % prefixes.size()] + " ");
    }
    prompts_.push_back(make_prompt(std::move(text), options_.chat,
                                   length(options_.output_len, kOutputLengths, i)));
  }
}

std::string Workload::body(int64_t index) const {
  const LoadPrompt& prompt = prompts_[static_cast<size_t>(index) % prompts_.size()];
  Json body = {{"model", options_.model},
               {options_.chat ? "messages" : "prompt", prompt.messages_or_prompt},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}}};
  if (prompt.max_tokens > 0) body["max_tokens"] = prompt.max_tokens;
  if (options_.ignore_eos.value_or(options_.file.empty())) body["ignore_eos"] = true;
  if (options_.temperature) body["temperature"] = *options_.temperature;
  body.update(extra_);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace glmoe::serve
