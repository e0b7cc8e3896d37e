// glmoe run: one prompt, a file of prompts, or an interactive chat.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "apps/command.h"
#include "base/error.h"
#include "base/file.h"

namespace glmoe::apps {
namespace {

struct RunOptions {
  LlmOptions llm;
  SamplingParams sampling;
  std::vector<std::string> prompts;
  std::string prompt_file;
  std::string system;
  bool raw = false;
  std::optional<bool> thinking;
  bool json = false;
  bool verbose = false;
};

std::atomic<bool> interrupted{false};
void on_interrupt(int) { interrupted.store(true); }

// The order of keys is kept: templates print tools and arguments as they stand.
// Strings in `messages` are whole UTF-8.
std::string render(const LLM& llm, const RunOptions& options, OrderedJson messages,
                   const std::string& tools_json = {}) {
  if (!options.system.empty()) {
    messages.insert(messages.begin(), {{"role", "system"}, {"content", options.system}});
  }
  ChatOptions chat;
  chat.tools_json = tools_json;
  chat.enable_thinking = options.thinking;
  return llm.render_chat(messages.dump(), chat);
}

// `where` it came from: a flag, or a file and a line.
void check_utf8(const std::string& text, const std::string& where) {
  try {
    Json(text).dump();
  } catch (const nlohmann::json::exception& error) {
    fail_argument("{}: the text is not valid UTF-8: {}", where, json_problem(error));
  }
}

std::string user_prompt(const LLM& llm, const RunOptions& options, const std::string& text,
                        const std::string& where) {
  if (text.empty()) fail_argument("{}: the prompt is empty: at least one token is wanted", where);
  check_utf8(text, where);
  if (options.raw) return text;
  return render(llm, options, OrderedJson::array({{{"role", "user"}, {"content", text}}}));
}

Json logprobs_to_json(const PositionLogprobs& position) {
  Json list = Json::array();
  for (const TokenLogprob& entry : position) {
    list.push_back(
        {{"token_id", entry.token_id}, {"logprob", entry.logprob}, {"rank", entry.rank}});
  }
  return list;
}

Json output_to_json(const RequestOutput& output) {
  Json answers = Json::array();
  int64_t completion_tokens = 0;
  for (const CompletionOutput& answer : output.outputs) {
    completion_tokens += static_cast<int64_t>(answer.token_ids.size());
    Json json = {{"index", answer.index},
                 {"text", answer.text},
                 {"token_ids", answer.token_ids},
                 {"finish_reason", finish_reason_name(answer.finish_reason)}};
    if (!answer.stop_reason.empty()) json["stop_reason"] = answer.stop_reason;
    if (!answer.error.empty()) json["error"] = answer.error;
    if (!answer.logprobs.empty()) {
      json["cumulative_logprob"] = answer.cumulative_logprob;
      for (const PositionLogprobs& position : answer.logprobs) {
        json["logprobs"].push_back(logprobs_to_json(position));
      }
    }
    answers.push_back(std::move(json));
  }
  Json json = {{"prompt", output.prompt},
               {"prompt_token_ids", output.prompt_token_ids},
               {"outputs", answers},
               {"usage",
                {{"prompt_tokens", output.prompt_token_ids.size()},
                 {"completion_tokens", completion_tokens}}},
               {"timing_ms",
                {{"queue", output.metrics.queue_ms},
                 {"first_token", output.metrics.first_token_ms},
                 {"total", output.metrics.total_ms}}}};
  for (const PositionLogprobs& position : output.prompt_logprobs) {
    json["prompt_logprobs"].push_back(logprobs_to_json(position));
  }
  return json;
}

// 1 where an answer ended with an error, after printing it; else 0.
int report_errors(const RequestOutput& output) {
  int status = 0;
  for (const CompletionOutput& answer : output.outputs) {
    if (answer.finish_reason != FinishReason::kError) continue;
    print_error("the answer ended early: " + answer.error);
    status = 1;
  }
  return status;
}

// Prints the stream as it comes; ctrl-C cancels the answer. Returns its text.
std::string stream_answer(ResponseStream stream, int& status) {
  std::string text, error;
  OutputDelta delta;
  while (stream.next(delta)) {
    if (interrupted.exchange(false)) stream.cancel();
    text += delta.text;
    std::fputs(delta.text.c_str(), stdout);
    std::fflush(stdout);
    if (delta.finish_reason == FinishReason::kError) error = delta.error;
  }
  std::fputs("\n", stdout);
  std::fflush(stdout);
  if (!error.empty()) {
    print_error("the answer ended early: " + error);
    status = 1;
  }
  return text;
}

// Answers all prompts in one batch.
int print_answers(LLM& llm, const RunOptions& options, const std::vector<Prompt>& prompts) {
  int status = 0;
  for (const RequestOutput& output : llm.generate(prompts, options.sampling)) {
    if (options.json) {
      print_json(output_to_json(output));
    } else {
      for (const CompletionOutput& answer : output.outputs) std::puts(answer.text.c_str());
    }
    status |= report_errors(output);
  }
  return status;
}

int run_prompts(LLM& llm, const RunOptions& options) {
  std::vector<Prompt> prompts;
  for (const std::string& text : options.prompts) {
    prompts.emplace_back(user_prompt(llm, options, text, "--prompt"));
  }
  if (!options.json && prompts.size() == 1 && options.sampling.n == 1) {
    int status = 0;
    stream_answer(llm.submit({prompts[0], options.sampling}), status);
    return status;
  }
  return print_answers(llm, options, prompts);
}

// A line is a prompt; in a .jsonl file an object with "prompt", "token_ids", or "messages" (and
// "tools").
Prompt prompt_of_line(const LLM& llm, const RunOptions& options, const std::string& line,
                      const std::string& where) {
  if (!options.prompt_file.ends_with(".jsonl")) return user_prompt(llm, options, line, where);
  const Json json = parse_json(line, where);
  const JsonReader reader(json, where);
  if (reader.has("messages")) {
    const OrderedJson ordered = parse_ordered_json(line, where);
    return render(llm, options, ordered["messages"],
                  reader.has("tools") ? ordered["tools"].dump() : std::string());
  }
  if (!reader.has("token_ids")) return user_prompt(llm, options, reader.string("prompt"), where);
  std::vector<int32_t> ids;
  const Json& list = reader.raw("token_ids");
  if (!list.is_array() || list.empty()) {
    fail_argument("{}: token_ids: a list of at least one token id was wanted", where);
  }
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX) {
      fail_argument("{}: token_ids: a list of token ids was wanted", where);
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

int run_file(LLM& llm, const RunOptions& options) {
  const std::string text = read_text_file(options.prompt_file);
  std::vector<Prompt> prompts;
  size_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    prompts.push_back(prompt_of_line(llm, options, line,
                                     fmt::format("{} line {}", options.prompt_file, line_number)));
  }
  if (prompts.empty()) fail_argument("{}: no prompts in this file", options.prompt_file);
  return print_answers(llm, options, prompts);
}

int run_chat(LLM& llm, const RunOptions& options) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  if (terminal) {
    std::fputs("Type a message; /reset forgets the conversation, /exit (or ctrl-D) ends.\n",
               stderr);
  }
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: ctrl-C also ends a waiting read
  ::sigaction(SIGINT, &action, nullptr);
  OrderedJson messages = OrderedJson::array();
  int status = 0;
  std::string line;
  for (;;) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, line) || line == "/exit") return status;
    if (line == "/reset") {
      messages.clear();
      continue;
    }
    if (line.empty()) continue;
    messages.push_back({{"role", "user"}, {"content", line}});
    try {
      check_utf8(line, "standard input");
      const std::string prompt = render(llm, options, messages);
      std::string answer = stream_answer(llm.submit({prompt, options.sampling}), status);
      messages.push_back({{"role", "assistant"}, {"content", std::move(answer)}});
    } catch (const Error& error) {
      print_error(error.what());
      messages.erase(messages.size() - 1);
      status = 1;
    }
  }
}

int run(const RunOptions& options) {
  LLM llm(options.llm);
  check_utf8(options.system, "--system");
  if (options.verbose) std::fputs(llm.describe().c_str(), stderr);
  if (!options.prompt_file.empty()) return run_file(llm, options);
  if (!options.prompts.empty()) return run_prompts(llm, options);
  return run_chat(llm, options);
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      app.add_subcommand("run", "Answer a prompt, a file of prompts, or chat interactively");
  add_model_flags(*command, options->llm);
  add_sampling_flags(*command, options->sampling);
  auto* prompt = command->add_option("--prompt", options->prompts,
                                     "The user's message; may be given several times");
  auto* file = command->add_option("--prompt_file", options->prompt_file,
                                   "A prompt a line, or .jsonl with prompt, messages or token_ids");
  prompt->excludes(file);
  command->add_option("--system", options->system, "System message");
  command->add_flag("--raw", options->raw, "Take the prompt as it is, without the chat template");
  command->add_flag_function(
      "--thinking,!--no_thinking", [options](int64_t count) { options->thinking = count > 0; },
      "Let the model reason before it answers [the template's default]");
  command->add_flag("--json", options->json, "One JSON object a prompt");
  command->add_flag("--verbose", options->verbose, "Say on standard error what runs, and why");
  command->callback([options] {
    const int status = run(*options);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace glmoe::apps
