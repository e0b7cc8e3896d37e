// glmoe bench latency: prefill and decode of one request, against what the memory can deliver.
//
// Bytes a decoded token reads = every weight that a token needs (attention, shared and top-k routed
// experts, dense MLP, router, head) + the KV cache up to it. The share is those bytes a second over
// the read bandwidth measured in the same run with the same threads.
#include <cstdio>
#include <fstream>

#include "apps/command.h"
#include "apps/latency.h"
#include "base/error.h"
#include "base/thread_team.h"
#include "kernels/cpu/bandwidth/bandwidth.h"
#include "spec/memory_plan.h"
#include "spec/prefill_flops.h"

namespace glmoe::apps {
namespace {

struct BenchOptions {
  LlmOptions llm;
  std::string preset;
  int64_t num_layers = 0;
  LatencyBatch batch;
  int64_t repetitions = 3;
  int64_t bandwidth_mib = 2048;
  bool json = false;
};

// Resident set of this process in bytes.
int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

struct Result {
  double prefill_tokens_per_s = 0.0;
  double prefill_gflop_per_s = 0.0;
  double decode_tokens_per_s = 0.0;
  double decode_step_ms = 0.0;
  double decode_gb_per_s = 0.0;  // 0 for a batch above 1: distinct experts are not known here
  double read_gb_per_s = 0.0;
};

void print_result(const BenchOptions& options, const Result& result, const LLM& llm,
                  const MemoryPlan& plan, double bytes_per_token) {
  const double share = result.decode_gb_per_s / result.read_gb_per_s;
  const auto rss = static_cast<double>(resident_bytes());
  if (options.json) {
    print_json({{"model", options.preset.empty() ? options.llm.model : options.preset},
                {"num_layers", llm.config().num_hidden_layers},
                {"batch_size", options.batch.batch_size},
                {"prompt_len", options.batch.prompt_len},
                {"output_len", options.batch.output_len},
                {"prefill_tokens_per_s", result.prefill_tokens_per_s},
                {"prefill_gflop_per_s", result.prefill_gflop_per_s},
                {"decode_tokens_per_s", result.decode_tokens_per_s},
                {"decode_step_ms", result.decode_step_ms},
                {"bytes_per_token", bytes_per_token},
                {"decode_gb_per_s", result.decode_gb_per_s},
                {"read_bandwidth_gb_per_s", result.read_gb_per_s},
                {"decode_share_of_bandwidth", share},
                {"resident_bytes", rss},
                {"planned_bytes", plan.total_bytes()}});
    return;
  }
  std::printf("%s", llm.describe().c_str());
  std::printf("prefill: %.1f tokens/s, %.1f GFLOP/s (%lld tokens x %lld)\n",
              result.prefill_tokens_per_s, result.prefill_gflop_per_s,
              static_cast<long long>(options.batch.prompt_len),
              static_cast<long long>(options.batch.batch_size));
  std::printf("decode: %.2f tokens/s, %.2f ms a step\n", result.decode_tokens_per_s,
              result.decode_step_ms);
  if (options.batch.batch_size == 1) {
    std::printf("decode reads %.3f GB a token: %.1f GB/s of %.1f GB/s read bandwidth = %.1f %%\n",
                bytes_per_token / 1e9, result.decode_gb_per_s, result.read_gb_per_s, share * 100.0);
  } else {
    std::printf("read bandwidth: %.1f GB/s\n", result.read_gb_per_s);
  }
  std::printf("resident: %s of %s planned (weights, KV cache in use, workspace)\n",
              human_bytes(rss).c_str(),
              human_bytes(static_cast<double>(plan.total_bytes())).c_str());
}

void bench_latency(BenchOptions options) {
  if (!options.preset.empty()) {
    options.llm.config = Glm4MoeConfig::preset(options.preset);
    if (options.num_layers > 0) options.llm.config->num_hidden_layers = options.num_layers;
    if (options.llm.load_format != "dummy") {
      fail_argument("--preset names shapes, not weights: add --load_format dummy, or give --model");
    }
  } else if (options.llm.model.empty()) {
    fail_argument("bench latency: --model FOLDER, or --preset NAME --load_format dummy is wanted");
  }
  if (options.batch.prompt_len < 1 || options.batch.output_len < 2 ||
      options.batch.batch_size < 1 || options.repetitions < 1) {
    fail_argument(
        "--prompt_len, --batch_size and --repetitions of at least 1 and --output_len of "
        "at least 2 are wanted");
  }
  make_room(options.batch, options.llm);
  LLM llm(options.llm);

  std::vector<double> prefill, decode;
  for (int64_t i = 0; i < options.repetitions; ++i) {
    const LatencyTiming timing = time_batch(llm, options.batch, static_cast<uint64_t>(i));
    prefill.push_back(timing.prefill_s);
    decode.push_back(timing.decode_s);
  }
  Result result;
  {
    ThreadTeam team(static_cast<int>(options.llm.num_threads));
    result.read_gb_per_s =
        measure_read_bandwidth(team, static_cast<size_t>(options.bandwidth_mib) << 20);
  }
  DType weight_dtype = DType::kBF16, kv_dtype = DType::kBF16;
  parse_dtype(llm.weight_dtype(), weight_dtype);
  parse_dtype(llm.compute_dtype(), kv_dtype);
  const MemoryPlan plan =
      plan_memory(llm.config(), {.weight_dtype = weight_dtype,
                                 .kv_dtype = kv_dtype,
                                 .max_num_tokens = options.llm.max_num_tokens,
                                 .max_batch_size = options.llm.max_batch_size,
                                 .kv_tokens = options.batch.batch_size * options.batch.context()});
  const double mean_context = static_cast<double>(options.batch.prompt_len) +
                              static_cast<double>(options.batch.output_len) / 2.0;
  const double bytes_per_token = plan.active_weight_bytes_per_token() +
                                 mean_context * static_cast<double>(plan.kv_bytes_per_token);
  const double step = median(decode);
  result.prefill_tokens_per_s =
      static_cast<double>(options.batch.prompt_len * options.batch.batch_size) / median(prefill);
  result.prefill_gflop_per_s = prefill_flops(llm.config(), options.batch.prompt_len) *
                               static_cast<double>(options.batch.batch_size) / median(prefill) /
                               1e9;
  result.decode_tokens_per_s = static_cast<double>(options.batch.batch_size) / step;
  result.decode_step_ms = step * 1e3;
  if (options.batch.batch_size == 1) result.decode_gb_per_s = bytes_per_token / step / 1e9;
  print_result(options, result, llm, plan, bytes_per_token);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  CLI::App* command = bench->add_subcommand("latency", "Prefill and decode of a batch");
  add_model_flags(*command, options->llm, /*model_required=*/false);
  command->add_option("--preset", options->preset, "Shapes of a published model");
  command->add_option("--layers,--num_layers", options->num_layers, "Only so many layers")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--load_format", options->llm.load_format, "auto, or dummy: random weights")
      ->capture_default_str();
  command->add_option("--batch_size", options->batch.batch_size)->capture_default_str();
  command->add_option("--prompt_len", options->batch.prompt_len)->capture_default_str();
  command->add_option("--output_len", options->batch.output_len)->capture_default_str();
  command->add_option("--repetitions", options->repetitions)->capture_default_str();
  command
      ->add_option("--bandwidth_mib", options->bandwidth_mib,
                   "Memory that the bandwidth measurement reads")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--json", options->json);
  command->callback([options] { bench_latency(*options); });
}

}  // namespace glmoe::apps
