// glmoe bench latency: prefill and decode of one request, against what the memory can deliver.
//
// Bytes a decoded token reads = every weight that a token needs (attention, shared and top-k routed
// experts, dense MLP, router, head) + the KV cache up to it. The share is those bytes a second over
// the read bandwidth measured in the same run with the same threads.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "apps/command.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/thread_team.h"
#include "kernels/cpu/bandwidth/bandwidth.h"
#include "spec/memory_plan.h"

namespace glmoe::apps {
namespace {

struct BenchOptions {
  LlmOptions llm;
  std::string preset;
  int64_t num_layers = 0;
  int64_t batch_size = 1;
  int64_t prompt_len = 512;
  int64_t output_len = 64;
  int64_t repetitions = 3;
  int64_t bandwidth_mib = 2048;
  bool json = false;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Resident set of this process in bytes.
int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

struct Timing {
  double prefill_s = 0.0;  // submitted until the first token, per batch
  double decode_s = 0.0;   // one step: the time between two tokens
};

Timing time_once(LLM& llm, const BenchOptions& options, uint64_t round) {
  std::vector<ResponseStream> streams;
  SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.ignore_eos = true;
  sampling.max_tokens = options.output_len;
  const double start = seconds_now();
  for (int64_t b = 0; b < options.batch_size; ++b) {
    std::vector<int32_t> ids(static_cast<size_t>(options.prompt_len));
    for (size_t i = 0; i < ids.size(); ++i) {
      const uint64_t bits = random_bits(round, static_cast<uint64_t>(b), i);
      ids[i] = static_cast<int32_t>(bits % static_cast<uint64_t>(llm.config().vocab_size));
    }
    streams.push_back(llm.submit({std::move(ids), sampling}));
  }
  // The last sequence is scheduled last: when it has its first token, all have.
  Timing timing;
  OutputDelta delta;
  std::vector<double> gaps;
  double last = start;
  bool first = true;
  while (streams.back().next(delta)) {
    if (delta.token_ids.empty()) continue;
    const double now = seconds_now();
    if (first) {
      timing.prefill_s = now - start;
    } else {
      gaps.push_back(now - last);
    }
    first = false;
    last = now;
  }
  for (size_t b = 0; b + 1 < streams.size(); ++b) streams[b].result();
  if (!gaps.empty()) timing.decode_s = median(gaps);
  return timing;
}

struct Result {
  double prefill_tokens_per_s = 0.0;
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
                {"batch_size", options.batch_size},
                {"prompt_len", options.prompt_len},
                {"output_len", options.output_len},
                {"prefill_tokens_per_s", result.prefill_tokens_per_s},
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
  std::printf("prefill: %.1f tokens/s (%lld tokens x %lld)\n", result.prefill_tokens_per_s,
              static_cast<long long>(options.prompt_len),
              static_cast<long long>(options.batch_size));
  std::printf("decode: %.2f tokens/s, %.2f ms a step\n", result.decode_tokens_per_s,
              result.decode_step_ms);
  if (options.batch_size == 1) {
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
  const int64_t context = options.prompt_len + options.output_len;
  if (options.prompt_len < 1 || options.output_len < 2 || options.batch_size < 1 ||
      options.repetitions < 1) {
    fail_argument(
        "--prompt_len, --batch_size and --repetitions of at least 1 and --output_len of "
        "at least 2 are wanted");
  }
  if (options.llm.kv_cache.max_tokens == 0) {
    const int64_t block = options.llm.kv_cache.tokens_per_block;
    options.llm.kv_cache.max_tokens = options.batch_size * (context + block);
  }
  options.llm.max_batch_size = std::max(options.llm.max_batch_size, options.batch_size);
  LLM llm(options.llm);

  std::vector<double> prefill, decode;
  for (int64_t i = 0; i < options.repetitions; ++i) {
    const Timing timing = time_once(llm, options, static_cast<uint64_t>(i));
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
  const MemoryPlan plan = plan_memory(llm.config(), {.weight_dtype = weight_dtype,
                                                     .kv_dtype = kv_dtype,
                                                     .max_num_tokens = options.llm.max_num_tokens,
                                                     .max_batch_size = options.llm.max_batch_size,
                                                     .kv_tokens = options.batch_size * context});
  const double mean_context =
      static_cast<double>(options.prompt_len) + static_cast<double>(options.output_len) / 2.0;
  const double bytes_per_token = plan.active_weight_bytes_per_token() +
                                 mean_context * static_cast<double>(plan.kv_bytes_per_token);
  const double step = median(decode);
  result.prefill_tokens_per_s =
      static_cast<double>(options.prompt_len * options.batch_size) / median(prefill);
  result.decode_tokens_per_s = static_cast<double>(options.batch_size) / step;
  result.decode_step_ms = step * 1e3;
  if (options.batch_size == 1) result.decode_gb_per_s = bytes_per_token / step / 1e9;
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
  command->add_option("--layers,--num_layers", options->num_layers, "Only so many layers");
  command->add_option("--load_format", options->llm.load_format, "auto, or dummy: random weights")
      ->capture_default_str();
  command->add_option("--batch_size", options->batch_size)->capture_default_str();
  command->add_option("--prompt_len", options->prompt_len)->capture_default_str();
  command->add_option("--output_len", options->output_len)->capture_default_str();
  command->add_option("--repetitions", options->repetitions)->capture_default_str();
  command
      ->add_option("--bandwidth_mib", options->bandwidth_mib,
                   "Memory that the bandwidth measurement reads")
      ->capture_default_str();
  command->add_flag("--json", options->json);
  command->callback([options] { bench_latency(*options); });
}

}  // namespace glmoe::apps
