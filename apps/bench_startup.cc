// glmoe bench startup: from the start of the process to the first token, by phase.
#include <unistd.h>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "apps/bench.h"
#include "apps/command.h"
#include "apps/latency.h"
#include "base/error.h"

namespace glmoe::apps {
namespace {

struct StartupOptions {
  LlmOptions llm;
  std::string preset;
  int64_t num_layers = 0;
  int64_t prompt_len = 16;
  bool json = false;
};

// Milliseconds since the kernel started this process, to its clock tick (10 ms).
double process_age_ms() {
  std::ifstream stat("/proc/self/stat");
  std::string text;
  std::getline(stat, text);
  // The second field, the program's name, may hold spaces; the start is the 20th behind it.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0.0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int kStartTime = 20;
  for (int i = 0; i < kStartTime; ++i) fields >> field;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const double started_s =
      std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return (static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - started_s) *
         1e3;
}

void bench_startup(StartupOptions options) {
  const double age_ms = process_age_ms();
  const double begin = seconds_now();
  resolve_shapes("bench startup", options.preset, options.num_layers, options.llm);
  LLM llm(options.llm);
  const double loaded = seconds_now();
  SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.max_tokens = 1;
  Prompt prompt;
  for (int64_t i = 0; i < options.prompt_len; ++i) {
    prompt.token_ids.push_back(static_cast<int32_t>(i % llm.config().vocab_size));
  }
  (void)llm.generate(prompt, sampling);
  const double end = seconds_now();

  std::vector<StartupPhase> phases = {{"process start to command", age_ms}};
  double known_ms = 0.0;
  for (const StartupPhase& phase : llm.startup()) {
    phases.push_back(phase);
    known_ms += phase.ms;
  }
  phases.push_back({"other", (loaded - begin) * 1e3 - known_ms});
  phases.push_back({"first token", (end - loaded) * 1e3});
  const double total_ms = age_ms + (end - begin) * 1e3;
  if (options.json) {
    Json out = {{"device", llm.device()}, {"total_ms", total_ms}, {"phases", Json::array()}};
    for (const StartupPhase& p : phases) out["phases"].push_back({{"name", p.name}, {"ms", p.ms}});
    print_json(out);
    return;
  }
  std::printf("%s\n", llm.device().c_str());
  for (const StartupPhase& p : phases) std::printf("%-32s %9.1f ms\n", p.name.c_str(), p.ms);
  std::printf("%-32s %9.1f ms\n", "process start to first token", total_ms);
}

}  // namespace

void add_bench_startup(CLI::App& bench) {
  auto options = std::make_shared<StartupOptions>();
  CLI::App* command = bench.add_subcommand("startup", "Process start to first token, by phase");
  add_model_flags(*command, options->llm, /*model_required=*/false);
  add_shape_flags(*command, options->preset, options->num_layers, options->llm);
  command->add_option("--prompt_len", options->prompt_len, "Tokens of the prompt")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--json", options->json);
  command->callback([options] { bench_startup(*options); });
}

}  // namespace glmoe::apps
