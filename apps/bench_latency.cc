// glmoe bench latency: prefill and decode of batches, against what the machine can do.
//
// On a GPU and for lists, a table: bytes of a step = every weight outside the routed experts + the
// experts that the recorded routing touched + the KV cache. For one batch on the CPU, bytes a
// decoded token reads = every weight that a token needs (attention, shared and top-k routed
// experts, dense MLP, router, head) + the KV cache up to it. The share is those bytes a second over
// the read bandwidth measured by the same threads just before and after the tokens it stands for,
// since on a shared machine it is another one seconds later; rounds in which it jumps don't count.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "apps/bench.h"
#include "apps/command.h"
#include "apps/latency.h"
#include "base/error.h"
#include "base/thread_team.h"
#include "gpu/gpu_backend.h"
#include "gpu/gpu_bench.h"
#include "kernels/cpu/bandwidth/bandwidth.h"
#include "spec/memory_plan.h"
#include "spec/prefill_flops.h"
#include "spec/step_floor.h"

namespace glmoe::apps {
namespace {

struct BenchOptions {
  LlmOptions llm;
  std::string preset;
  int64_t num_layers = 0;
  std::vector<int64_t> batch_sizes = {1}, prompt_lens = {512}, contexts;
  bool prompt_len_given = false, max_num_tokens_given = false;
  int64_t output_len = 64;
  LatencyBatch batch;  // the one of a single row on the CPU
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

// Rounds of decoding beside the bandwidth: those whose bandwidth before and after agreed, of all.
// Where fewer than kMinSteadyRounds did, the medians are over all.
struct RoundCount {
  static constexpr int kMinSteadyRounds = 3;
  int steady = 0, all = 0;
  bool unsteady() const { return steady < kMinSteadyRounds; }
};

struct Result {
  double prefill_tokens_per_s = 0.0;
  double prefill_gflop_per_s = 0.0;
  double decode_tokens_per_s = 0.0;
  double decode_step_ms = 0.0;
  double read_gb_per_s = 0.0;
  // Of short rounds, each beside its own measurement of the bandwidth: medians, as is then
  // read_gb_per_s. 0 for a batch above 1: distinct experts are not known here.
  double decode_gb_per_s = 0.0, share = 0.0;
  RoundCount rounds;
};

void print_result(const BenchOptions& options, const Result& result, const LLM& llm,
                  const MemoryPlan& plan, double bytes_per_token) {
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
                {"decode_share_of_bandwidth", result.share},
                {"decode_rounds", result.rounds.all},
                {"decode_rounds_of_steady_bandwidth", result.rounds.steady},
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
    std::printf(
        "decode reads %.3f GB a token: %.1f GB/s beside %.1f GB/s read bandwidth, share %.1f %% "
        "(bandwidth steady in %d of %d rounds%s)\n",
        bytes_per_token / 1e9, result.decode_gb_per_s, result.read_gb_per_s, result.share * 100.0,
        result.rounds.steady, result.rounds.all,
        result.rounds.unsteady() ? ": too few, so all count; run it again" : "");
  } else {
    std::printf("read bandwidth: %.1f GB/s\n", result.read_gb_per_s);
  }
  std::printf("resident: %s of %s planned (weights, KV cache in use, workspace)\n",
              human_bytes(rss).c_str(),
              human_bytes(static_cast<double>(plan.total_bytes())).c_str());
}

struct DecodeRound {
  double decode, before, after;  // GB/s: of decoding, and the bandwidth around it
  bool steady() const { return std::abs(before - after) <= 0.1 * std::max(before, after); }
};

void take_medians(const std::vector<DecodeRound>& rounds, Result& result) {
  result.rounds.all = static_cast<int>(rounds.size());
  result.rounds.steady = static_cast<int>(
      std::count_if(rounds.begin(), rounds.end(), [](const auto& r) { return r.steady(); }));
  std::vector<double> decode, read, share;
  for (const DecodeRound& round : rounds) {
    if (!round.steady() && !result.rounds.unsteady()) continue;
    decode.push_back(round.decode);
    read.push_back((round.before + round.after) / 2.0);
    share.push_back(decode.back() / read.back());
  }
  result.decode_gb_per_s = median(decode);
  result.read_gb_per_s = median(read);
  result.share = median(share);
}

// The bandwidth; for a single sequence before and after each of some rounds of a few tokens.
void measure_bandwidth(const BenchOptions& options, LLM& llm, const MemoryPlan& plan,
                       Result& result) {
  constexpr int kRounds = 9;
  ThreadTeam team(static_cast<int>(options.llm.num_threads));
  const auto read_gb_per_s = [&] {
    return measure_read_bandwidth(team, static_cast<size_t>(options.bandwidth_mib) << 20);
  };
  if (options.batch.batch_size != 1) {
    result.read_gb_per_s = read_gb_per_s();
    return;
  }
  LatencyBatch batch{.batch_size = 1, .prompt_len = 16, .output_len = 9};
  batch.prompt_len = std::min(batch.prompt_len, options.batch.prompt_len);
  batch.output_len = std::min(batch.output_len, options.batch.output_len);
  std::vector<DecodeRound> rounds;
  double before = read_gb_per_s();
  for (int i = 0; i < kRounds; ++i) {
    const DecodeTiming timing = time_decode(llm, batch, static_cast<uint64_t>(i));
    const double after = read_gb_per_s();
    const double bytes = plan.active_weight_bytes_per_token() +
                         timing.context * static_cast<double>(plan.kv_bytes_per_token);
    rounds.push_back({bytes / timing.step_s / 1e9, before, after});
    before = after;
  }
  take_medians(rounds, result);
}

// One batch on the CPU, prefill and decode together.
void bench_one_batch(const BenchOptions& options, LLM& llm) {
  std::vector<double> prefill, decode;
  for (int64_t i = 0; i < options.repetitions; ++i) {
    const LatencyTiming timing = time_batch(llm, options.batch, static_cast<uint64_t>(i));
    prefill.push_back(timing.prefill_s);
    decode.push_back(timing.decode_s);
  }
  Result result;
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
  measure_bandwidth(options, llm, plan, result);
  print_result(options, result, llm, plan, bytes_per_token);
}

// What a table's rows are measured on.
struct Rows {
  std::vector<LatencyBatch> decode, prefill;
};

// Every batch size with every context; without --context, every batch size with every prompt, its
// prefill and its decode.
Rows rows_of(const BenchOptions& options) {
  Rows rows;
  const std::vector<int64_t>& contexts =
      options.contexts.empty() ? options.prompt_lens : options.contexts;
  for (const int64_t batch : options.batch_sizes) {
    for (const int64_t context : contexts) {
      rows.decode.push_back({batch, context, options.output_len});
      if (options.contexts.empty()) rows.prefill.push_back({batch, context, 1});
    }
  }
  if (!options.contexts.empty() && options.prompt_len_given) {
    for (const int64_t length : options.prompt_lens) rows.prefill.push_back({1, length, 1});
  }
  return rows;
}

class LatencyTable {
 public:
  LatencyTable(LLM& llm, const BenchOptions& options)
      : llm_(llm), options_(options), plan_(memory_plan(options, llm)) {}

  SpeedRow decode(const LatencyBatch& batch) {
    const double experts = experts_of_decode(llm_, batch, 0);  // warms up as well
    std::vector<double> steps, contexts;
    for (int64_t i = 0; i < options_.repetitions; ++i) {
      const DecodeTiming timing = time_decode(llm_, batch, static_cast<uint64_t>(i));
      steps.push_back(timing.step_s);
      contexts.push_back(timing.context);
    }
    const auto sequences = static_cast<double>(batch.batch_size);
    const double context = median(contexts);
    SpeedRow row =
        row_of(batch, fmt::format("decode batch {} context {}", batch.batch_size, batch.prompt_len),
               median(steps), experts);
    row.more["context"] = context;
    row.more["tokens_per_s"] = sequences / median(steps);
    row.flops = decode_flops(llm_.config(), sequences, context);
    if (row.bytes > 0.0) {
      row.bytes = step_bytes(llm_.config(), plan_, experts, sequences * context);
    }
    row.note = fmt::format("{:.0f} tokens/s", sequences / median(steps)) + row.note;
    return row;
  }

  SpeedRow prefill(const LatencyBatch& batch) {
    const double experts = experts_of_prefill(llm_, batch, 0);
    std::vector<double> times;
    for (int64_t i = 0; i < options_.repetitions; ++i) {
      times.push_back(time_batch(llm_, batch, static_cast<uint64_t>(i)).prefill_s);
    }
    const double tokens = static_cast<double>(batch.batch_size * batch.prompt_len);
    const std::string name =
        batch.batch_size == 1 ? fmt::format("prefill {}", batch.prompt_len)
                              : fmt::format("prefill {} x {}", batch.batch_size, batch.prompt_len);
    SpeedRow row = row_of(batch, name, median(times), experts);
    row.more["tokens_per_s"] = tokens / median(times);
    row.flops =
        prefill_flops(llm_.config(), batch.prompt_len) * static_cast<double>(batch.batch_size);
    row.note = fmt::format("{:.0f} tokens/s", tokens / median(times)) + row.note;
    return row;
  }

 private:
  static MemoryPlan memory_plan(const BenchOptions& options, const LLM& llm) {
    DType weight_dtype = DType::kBF16, kv_dtype = DType::kBF16;
    parse_dtype(llm.weight_dtype(), weight_dtype);
    parse_dtype(llm.compute_dtype(), kv_dtype);
    return plan_memory(llm.config(), {.weight_dtype = weight_dtype,
                                      .kv_dtype = kv_dtype,
                                      .max_num_tokens = options.llm.max_num_tokens,
                                      .max_batch_size = options.llm.max_batch_size});
  }

  // Bytes without the cache; 0 where the experts could not be counted.
  SpeedRow row_of(const LatencyBatch& batch, std::string name, double seconds, double experts) {
    SpeedRow row;
    row.name = std::move(name);
    row.us = seconds * 1e6;
    row.more = {{"batch_size", batch.batch_size},
                {"prompt_len", batch.prompt_len},
                {"output_len", batch.output_len},
                {"experts", experts}};
    const int64_t moe_layers = llm_.config().num_moe_layers();
    if (experts > 0.0 || moe_layers == 0) {
      row.bytes = step_bytes(llm_.config(), plan_, experts, 0.0);
    }
    if (moe_layers > 0 && experts > 0.0) {
      row.note = fmt::format(", {:.1f} experts a layer", experts / static_cast<double>(moe_layers));
    }
    return row;
  }

  LLM& llm_;
  const BenchOptions& options_;
  MemoryPlan plan_;
};

// The CPU's rate of multiplications depends on the type and is not known here: its floor is the
// memory's alone.
Ceiling ceiling_of(const BenchOptions& options, bool on_gpu) {
  if (on_gpu) {
    const GpuRates rates = measure_gpu_rates();
    return {rates.device, rates.read_gb_per_s, rates.matrix_tflop_per_s};
  }
  ThreadTeam team(static_cast<int>(options.llm.num_threads));
  return {fmt::format("CPU, {} threads", team.size()),
          measure_read_bandwidth(team, static_cast<size_t>(options.bandwidth_mib) << 20), 0.0};
}

// Where the options do not say it: a prefill in one step, and room for the largest batch.
void make_room_for(Rows& rows, BenchOptions& options, bool on_gpu) {
  if (on_gpu && !options.max_num_tokens_given) {
    constexpr int64_t kMostTokens = 16384;
    for (const LatencyBatch& batch : rows.prefill) {
      options.llm.max_num_tokens = std::max(
          options.llm.max_num_tokens, std::min(batch.batch_size * batch.prompt_len, kMostTokens));
    }
  }
  LlmOptions room = options.llm;
  int64_t kv_tokens = 0;
  for (std::vector<LatencyBatch>* list : {&rows.decode, &rows.prefill}) {
    for (LatencyBatch& batch : *list) {
      if (list == &rows.decode) set_lead(batch, options.llm.max_num_tokens);
      room.kv_cache.max_tokens = options.llm.kv_cache.max_tokens;
      make_room(batch, room);
      kv_tokens = std::max(kv_tokens, room.kv_cache.max_tokens);
    }
  }
  room.kv_cache.max_tokens = kv_tokens;
  options.llm = room;
}

void bench_table(BenchOptions options, bool on_gpu) {
  Rows rows = rows_of(options);
  make_room_for(rows, options, on_gpu);
  const Ceiling ceiling = ceiling_of(options, on_gpu);  // while the memory is still free
  LLM llm(options.llm);
  if (!options.json) std::printf("%s", llm.describe().c_str());
  LatencyTable table(llm, options);
  std::vector<SpeedRow> measured;
  for (const LatencyBatch& batch : rows.decode) measured.push_back(table.decode(batch));
  for (const LatencyBatch& batch : rows.prefill) measured.push_back(table.prefill(batch));
  print_rows(measured, ceiling,
             {{"model", options.preset.empty() ? options.llm.model : options.preset},
              {"num_layers", llm.config().num_hidden_layers}},
             options.json);
}

void bench_latency(BenchOptions options) {
  resolve_shapes("bench latency", options.preset, options.num_layers, options.llm);
  if (options.output_len < 2 || options.repetitions < 1) {
    fail_argument("--repetitions of at least 1 and --output_len of at least 2 are wanted");
  }
  const bool on_gpu = options.llm.backend == "cuda" ||
                      (options.llm.backend == "auto" && options.llm.dtype != "float32" &&
                       GpuBackend::why_not().empty());
  const bool one = options.batch_sizes.size() == 1 && options.prompt_lens.size() == 1;
  if (on_gpu || !one || !options.contexts.empty()) return bench_table(options, on_gpu);
  options.batch = {options.batch_sizes[0], options.prompt_lens[0], options.output_len};
  make_room(options.batch, options.llm);
  LLM llm(options.llm);
  bench_one_batch(options, llm);
}

}  // namespace

void add_bench_latency(CLI::App& bench) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = bench.add_subcommand("latency", "Prefill and decode of batches");
  add_model_flags(*command, options->llm, /*model_required=*/false);
  add_shape_flags(*command, options->preset, options->num_layers, options->llm);
  constexpr int64_t kMany = int64_t{1} << 24;
  add_list(*command, "--batch_size", options->batch_sizes, kMany, "Sequences; a list: 1,8,32");
  CLI::Option* prompt_len =
      add_list(*command, "--prompt_len", options->prompt_lens, kMany, "Tokens of a prompt; a list");
  add_list(*command, "--context", options->contexts, kMany,
           "Tokens in the cache before a decode is timed; a list. --prompt_len then names prefills "
           "of one sequence [the prompt]");
  command->add_option("--output_len", options->output_len, "Steps that are timed, and one")
      ->capture_default_str();
  command->add_option("--repetitions", options->repetitions)->capture_default_str();
  command
      ->add_option("--bandwidth_mib", options->bandwidth_mib,
                   "Memory that the bandwidth measurement reads, on the CPU")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_flag("--json", options->json);
  const CLI::Option* max_num_tokens = command->get_option("--max_num_tokens");
  command->callback([options, prompt_len, max_num_tokens] {
    options->prompt_len_given = prompt_len->count() > 0;
    options->max_num_tokens_given = max_num_tokens->count() > 0;
    bench_latency(*options);
  });
}

}  // namespace glmoe::apps
