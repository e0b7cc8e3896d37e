// glmoe chat: a conversation in the terminal, with a server or with the engine in this process.
//
// Answers go to standard output, everything else to standard error, so that a pipe gets the answers
// alone. Exit status: 0, or 1 where the last message had no answer.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "apps/chat_backend.h"
#include "apps/chat_input.h"
#include "apps/command.h"
#include "base/error.h"
#include "base/file.h"

namespace glmoe::apps {
namespace {

struct ChatFlags {
  ClientFlags server;
  LlmOptions llm;
  ChatSettings settings;
  std::string system;
  bool hide_reasoning = false;
};

constexpr const char* kHelp =
    "  /system TEXT     sets the system message (without TEXT: removes it) and begins anew\n"
    "  /clear           forgets the conversation\n"
    "  /regen           answers the last message again\n"
    "  /set NAME VALUE  temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed,\n"
    "                   thinking (on or off); VALUE default: the model's own\n"
    "  /save FILE       writes the conversation as JSON\n"
    "  /exit            ends (as ctrl-D does)\n"
    "A line that ends in \\ goes on in the next; lines between two lines of \"\"\" are one "
    "message.\n"
    "Ctrl-C stops an answer.\n";

std::atomic<bool> interrupted{false};
void on_interrupt(int) { interrupted.store(true); }

// Shows an answer: reasoning dimmed on a terminal, and apart from the content elsewhere.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(bool hide_reasoning)
      : hide_(hide_reasoning), terminal_(::isatty(STDOUT_FILENO) == 1) {}
  ~AnswerPrinter() {
    set_dim(false);
    std::fputs("\n", stdout);
    std::fflush(stdout);
  }
  AnswerPrinter(const AnswerPrinter&) = delete;

  void show(const ChatPiece& piece) {
    if (!hide_ && !piece.reasoning.empty()) {
      set_dim(true);
      print(piece.reasoning);
      has_reasoning_ = true;
    }
    if (!piece.content.empty()) {
      set_dim(false);
      if (std::exchange(has_reasoning_, false)) print("\n\n");
      print(piece.content);
    }
    std::fflush(stdout);
  }

 private:
  // Control characters of an answer must not command the terminal.
  void print(std::string_view text) {
    for (const char c : text) {
      const bool plain = static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t';
      if (!terminal_ || (plain && c != 0x7f)) std::fputc(c, stdout);
    }
  }
  void set_dim(bool dim) {
    if (!terminal_ || dim == dim_) return;
    std::fputs(dim ? "\x1b[2m" : "\x1b[0m", stdout);
    dim_ = dim;
  }

  bool hide_, terminal_;
  bool dim_ = false, has_reasoning_ = false;
};

template <class T>
void set_number(const std::string& name, const std::string& text, double low, double high,
                std::optional<T>& to) {
  if (text == "default") {
    to.reset();
    return;
  }
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto number = static_cast<double>(value);
  if (problem != std::errc() || end != text.data() + text.size() ||
      !(number >= low && number <= high)) {
    fail_argument("/set {}: a number from {} to {} or default was wanted, found '{}'", name, low,
                  high, text);
  }
  to = value;
}

void set(ChatSettings& settings, const std::string& name, const std::string& value) {
  SamplingParams& sampling = settings.sampling;
  constexpr double kMany = 9e15;
  if (name == "temperature") return set_number(name, value, 0, 100, sampling.temperature);
  if (name == "top_p") return set_number(name, value, 0, 1, sampling.top_p);
  if (name == "top_k") return set_number(name, value, 0, kMany, sampling.top_k);
  if (name == "min_p") return set_number(name, value, 0, 1, sampling.min_p);
  if (name == "seed") return set_number(name, value, 0, kMany, sampling.seed);
  if (name == "max_tokens") return set_number(name, value, 1, kMany, settings.max_tokens);
  if (name == "repetition_penalty") {
    return set_number(name, value, 0.01, 100, sampling.repetition_penalty);
  }
  if (name != "thinking") {
    fail_argument("/set: '{}' is unknown: /help lists the names", name);
  }
  if (value != "on" && value != "off" && value != "default") {
    fail_argument("/set thinking: on, off or default was wanted, found '{}'", value);
  }
  settings.thinking = value == "default" ? std::nullopt : std::optional<bool>(value == "on");
}

class Chat {
 public:
  Chat(ChatBackend& backend, const ChatFlags& flags)
      : backend_(backend), settings_(flags.settings), hide_reasoning_(flags.hide_reasoning) {
    begin_anew(valid_utf8(flags.system));
  }

  int run() {
    std::string message;
    while (!exit_ && read_message("> ", message)) {
      interrupted.store(false);
      if (message.find_first_not_of(" \t\n") == std::string::npos) continue;
      try {
        if (message.starts_with('/')) {
          command(message);
        } else {
          messages_.push_back({{"role", "user"}, {"content", valid_utf8(message)}});
          answer();
        }
      } catch (const Error& error) {
        print_error(error.what());
        status_ = 1;
      }
    }
    return status_;
  }

 private:
  void begin_anew(const std::string& system) {
    messages_ = OrderedJson::array();
    system_ = system;
    if (!system.empty()) messages_.push_back({{"role", "system"}, {"content", system}});
  }

  // Answers the last message. An answer that was stopped stays in the conversation as far as it
  // came; after a failure the message is taken back, so that it can be sent again.
  void answer() {
    std::string content;
    try {
      AnswerPrinter printer(hide_reasoning_);
      const bool whole = backend_.answer(
          messages_, settings_,
          [&](const ChatPiece& piece) {
            printer.show(piece);
            content += piece.content;
          },
          interrupted);
      interrupted.store(false);
      status_ = 0;
      if (!whole && content.empty()) {
        messages_.erase(messages_.size() - 1);
        return;
      }
    } catch (const Error&) {
      messages_.erase(messages_.size() - 1);
      throw;
    }
    messages_.push_back({{"role", "assistant"}, {"content", valid_utf8(content)}});
  }

  void command(const std::string& line) {
    const size_t end = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, end);
    const size_t begin = std::min(line.find_first_not_of(' ', end), line.size());
    const std::string rest = line.substr(begin);
    if (name == "/exit" || name == "/quit") {
      exit_ = true;
    } else if (name == "/help") {
      std::fputs(kHelp, stderr);
    } else if (name == "/system") {
      begin_anew(valid_utf8(rest));
    } else if (name == "/clear") {
      begin_anew(system_);
    } else if (name == "/regen") {
      regenerate();
    } else if (name == "/set") {
      const size_t space = std::min(rest.find(' '), rest.size());
      set(settings_, rest.substr(0, space), rest.substr(std::min(space + 1, rest.size())));
    } else if (name == "/save") {
      save(rest);
    } else {
      fail_argument("'{}' is no command: /help lists them (a space in front makes it a message)",
                    name);
    }
  }

  void regenerate() {
    if (messages_.empty() || messages_.back()["role"] != "assistant") {
      fail_argument("/regen: there is no answer yet");
    }
    const OrderedJson before = messages_;
    messages_.erase(messages_.size() - 1);
    try {
      answer();
    } catch (const Error&) {
      messages_ = before;
      throw;
    }
    if (messages_.size() < before.size()) messages_ = before;  // stopped before anything came
  }

  void save(const std::string& path) {
    if (path.empty()) fail_argument("/save: the name of a file is wanted");
    write_text_file_atomically(path, OrderedJson{{"messages", messages_}}.dump(2) + "\n");
    std::fprintf(stderr, "%zu messages written to %s\n", messages_.size(), path.c_str());
  }

  ChatBackend& backend_;
  ChatSettings settings_;
  bool hide_reasoning_;
  OrderedJson messages_;
  std::string system_;
  bool exit_ = false;
  int status_ = 0;
};

int run(const ChatFlags& flags) {
  const std::unique_ptr<ChatBackend> backend =
      flags.llm.model.empty() ? make_remote_chat(flags.server) : make_local_chat(flags.llm);
  if (::isatty(STDIN_FILENO) == 1) {
    std::fprintf(stderr, "%s. /help lists the commands.\n", backend->name().c_str());
  }
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: ctrl-C also ends a waiting read
  ::sigaction(SIGINT, &action, nullptr);
  return Chat(*backend, flags).run();
}

void add_setting_flags(CLI::App& command, ChatSettings& settings) {
  SamplingParams& sampling = settings.sampling;
  command.add_option("--max_tokens", settings.max_tokens, "Of an answer [what fits]")
      ->check(CLI::PositiveNumber);
  command.add_option("--temperature", sampling.temperature, "0 is greedy [the model's]")
      ->check(CLI::Range(0.0, 100.0));
  command.add_option("--top_p", sampling.top_p)->check(CLI::Range(0.0, 1.0));
  command.add_option("--top_k", sampling.top_k)->check(CLI::NonNegativeNumber);
  command.add_option("--seed", sampling.seed);
  command.add_flag_function(
      "--thinking,!--no_thinking", [&settings](int64_t count) { settings.thinking = count > 0; },
      "Let the model reason before it answers [the model's]");
}

}  // namespace

void add_chat(CLI::App& app) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* command =
      app.add_subcommand("chat", "Chat in the terminal with a server, or with --model in process");
  add_client_flags(*command, flags->server, "--served_model_name");
  add_model_flags(*command, flags->llm, /*model_required=*/false);
  command->get_option("--model")->excludes("--base_url");
  add_setting_flags(*command, flags->settings);
  command->add_option("--system", flags->system, "System message");
  command->add_flag("--hide_reasoning", flags->hide_reasoning, "Show the answers alone");
  command->callback([flags] {
    const int status = run(*flags);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace glmoe::apps
