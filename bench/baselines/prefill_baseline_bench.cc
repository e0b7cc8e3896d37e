// Prefill with GLM-4.5-Air's shapes and random weights beside one large GEMM of OpenBLAS and, on
// processors with bfloat16 instructions, of oneDNN: the share of a GEMM's rate that a whole prefill
// reaches. Rounds alternate, so that all see the same machine; the best of each counts.
//   prefill_baseline_bench [--layers N] [--prompt_len 512] [--repetitions 3] [--json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "apps/command.h"
#include "apps/latency.h"
#include "base/env.h"
#include "base/error.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/thread_team.h"
#include "baselines/gemm.h"
#include "device/cpu_info.h"
#include "spec/memory_plan.h"
#include "spec/prefill_flops.h"

namespace glmoe::bench {

std::vector<float> random_floats(int64_t count, uint64_t stream) {
  std::vector<float> numbers(static_cast<size_t>(count));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<float>(random_uniform(1, stream, i) - 0.5);
  }
  return numbers;
}

namespace {

constexpr int64_t kMostLayers = 4;

struct Options {
  LlmOptions llm;
  std::string preset = "glm-4.5-air";
  int64_t num_layers = 0;  // 0: kMostLayers, or as many as fit
  int64_t gemm_size = 4096;
  int64_t repetitions = 3;
  bool json = false;
  apps::LatencyBatch batch{.batch_size = 1, .prompt_len = 512, .output_len = 1};
};

struct Baseline {
  std::unique_ptr<GemmBaseline> gemm;
  double best_s = 1e30;
};

int64_t bytes_needed(const Options& options, int64_t num_layers) {
  Glm4MoeConfig config = Glm4MoeConfig::preset(options.preset);
  config.num_hidden_layers = num_layers;
  DType dtype = DType::kBF16;  // what random weights of --dtype auto are
  parse_dtype(options.llm.dtype, dtype);
  const MemoryPlan plan = plan_memory(config, {.weight_dtype = dtype,
                                               .kv_dtype = dtype,
                                               .max_num_tokens = options.llm.max_num_tokens,
                                               .max_batch_size = options.llm.max_batch_size,
                                               .kv_tokens = options.batch.context()});
  constexpr int64_t kSpare = int64_t{512} << 20;  // tables, stacks, the libraries' own buffers
  return plan.total_bytes() + 6 * 4 * options.gemm_size * options.gemm_size + kSpare;
}

// kMostLayers, or fewer where memory is short, said on standard error.
int64_t layers_that_fit(const Options& options) {
  const int64_t available = cpu_info().available_bytes;
  int64_t layers = kMostLayers;
  while (layers > 1 && bytes_needed(options, layers) > available) --layers;
  if (layers < kMostLayers) {
    std::fprintf(stderr, "%lld layers need %s, %s are available: %lld measured\n",
                 static_cast<long long>(kMostLayers),
                 apps::human_bytes(static_cast<double>(bytes_needed(options, kMostLayers))).c_str(),
                 apps::human_bytes(static_cast<double>(available)).c_str(),
                 static_cast<long long>(layers));
  }
  return layers;
}

// Each library keeps threads of its own, which spin for a while after their work: they must be
// asleep before the next one is timed.
void let_threads_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }

// The best of options.repetitions for each, and of the prefill (returned), in seconds.
double measure(const Options& options, LLM& llm, std::vector<Baseline>& baselines) {
  double prefill_s = 1e30;
  // Round 0 warms up: pages, caches, the libraries' buffers.
  for (int64_t round = 0; round <= options.repetitions; ++round) {
    for (Baseline& baseline : baselines) {
      let_threads_sleep();
      const double start = apps::seconds_now();
      baseline.gemm->run();
      if (round > 0) baseline.best_s = std::min(baseline.best_s, apps::seconds_now() - start);
    }
    let_threads_sleep();
    const double seconds =
        apps::time_batch(llm, options.batch, static_cast<uint64_t>(round)).prefill_s;
    if (round > 0) prefill_s = std::min(prefill_s, seconds);
  }
  return prefill_s;
}

void report(const Options& options, const LLM& llm, int num_threads, double prefill_s,
            const std::vector<Baseline>& baselines) {
  const double tokens = static_cast<double>(options.batch.prompt_len);
  const double flops = prefill_flops(llm.config(), options.batch.prompt_len);
  const double prefill_rate = flops / prefill_s / 1e9;
  const double gemm_flops = 2.0 * static_cast<double>(options.gemm_size) *
                            static_cast<double>(options.gemm_size) *
                            static_cast<double>(options.gemm_size);
  Json gemms = Json::array();
  for (const Baseline& baseline : baselines) {
    const double rate = gemm_flops / baseline.best_s / 1e9;
    gemms.push_back({{"library", baseline.gemm->name()},
                     {"dtype", baseline.gemm->type()},
                     {"gflop_per_s", rate},
                     {"prefill_share", prefill_rate / rate}});
  }
  if (options.json) {
    apps::print_json({{"model", options.preset},
                      {"num_layers", llm.config().num_hidden_layers},
                      {"prompt_len", options.batch.prompt_len},
                      {"num_threads", num_threads},
                      {"compute_dtype", llm.compute_dtype()},
                      {"prefill_tokens_per_s", tokens / prefill_s},
                      {"prefill_flop_per_token", flops / tokens},
                      {"prefill_gflop_per_s", prefill_rate},
                      {"gemm_size", options.gemm_size},
                      {"gemms", gemms}});
    return;
  }
  std::printf("%s", llm.describe().c_str());
  std::printf("prefill of %lld tokens: %.1f tokens/s x %.3f GFLOP a token = %.1f GFLOP/s\n",
              static_cast<long long>(options.batch.prompt_len), tokens / prefill_s,
              flops / tokens / 1e9, prefill_rate);
  for (const Json& gemm : gemms) {
    std::printf("%s GEMM of %lld cubed, %s: %.1f GFLOP/s; prefill reaches %.1f %%\n",
                gemm["dtype"].get<std::string>().c_str(), static_cast<long long>(options.gemm_size),
                gemm["library"].get<std::string>().c_str(), gemm["gflop_per_s"].get<double>(),
                gemm["prefill_share"].get<double>() * 100.0);
  }
}

void run(Options options) {
  if (options.gemm_size < 1 || options.gemm_size > 32768 || options.repetitions < 1 ||
      options.batch.prompt_len < 1 || options.num_layers < 0) {
    fail_argument(
        "--prompt_len and --repetitions of at least 1, --gemm_size of 1 to 32768 and no negative "
        "--layers are wanted");
  }
  if (options.llm.num_threads == 0) options.llm.num_threads = env::get().num_threads;
  const int num_threads = ThreadTeam(static_cast<int>(options.llm.num_threads)).size();
  options.llm.num_threads = num_threads;
  options.llm.backend = "cpu";
  options.llm.load_format = "dummy";
  apps::make_room(options.batch, options.llm);
  Glm4MoeConfig config = Glm4MoeConfig::preset(options.preset);
  config.num_hidden_layers = options.num_layers > 0 ? options.num_layers : layers_that_fit(options);
  options.llm.config = config;

  std::vector<Baseline> baselines;
  baselines.push_back({make_openblas(options.gemm_size, num_threads)});
  if (auto gemm = make_onednn(options.gemm_size, num_threads))
    baselines.push_back({std::move(gemm)});
  LLM llm(options.llm);
  const double prefill_s = measure(options, llm, baselines);
  report(options, llm, num_threads, prefill_s, baselines);
}

int main(int argc, char** argv) {
  CLI::App app("Prefill beside one large GEMM of OpenBLAS and oneDNN");
  Options options;
  app.add_option("--preset", options.preset, "Shapes of a published model")->capture_default_str();
  app.add_option("--layers,--num_layers", options.num_layers,
                 "Layers [4, or fewer where memory is short]");
  app.add_option("--prompt_len", options.batch.prompt_len)->capture_default_str();
  app.add_option("--dtype", options.llm.dtype, "auto (bfloat16), float32, bfloat16 or float16")
      ->capture_default_str();
  app.add_option("--num_threads", options.llm.num_threads, "Threads [one a physical core]");
  app.add_option("--gemm_size", options.gemm_size)->capture_default_str();
  app.add_option("--repetitions", options.repetitions)->capture_default_str();
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  try {
    log::init();
    run(options);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.code() == ErrorCode::kInvalidArgument ? 2 : 1;
  }
  return 0;
}

}  // namespace
}  // namespace glmoe::bench

int main(int argc, char** argv) { return glmoe::bench::main(argc, argv); }
