// glmoe bench moe, attention, gemm: one part of one layer on the GPU, by the launches that the
// engine makes, with random weights, against what the card can do.
#include <algorithm>
#include <memory>

#include "apps/bench.h"
#include "apps/command.h"
#include "base/error.h"
#include "convert/inspect.h"
#include "gpu/gpu_bench.h"

namespace glmoe::apps {
namespace {

constexpr int64_t kMaxRows = 65536;
constexpr int64_t kMaxContext = int64_t{1} << 20;

struct PartOptions {
  std::string model, preset, dtype = "bfloat16";
  std::vector<std::string> backends = {"CUTLASS"};
  std::vector<int64_t> batch_sizes, contexts, prompt_lens;
  int64_t tokens_per_block = 64;
  bool json = false;
};

Glm4MoeConfig config_of(const PartOptions& options) {
  if (!options.model.empty() && !options.preset.empty()) {
    fail_argument("bench: either --model FOLDER or --preset NAME is wanted");
  }
  if (!options.model.empty()) return inspect_folder(options.model).config;
  return Glm4MoeConfig::preset(options.preset.empty() ? "glm-4.5-air" : options.preset);
}

DType dtype_of(const PartOptions& options) {
  return parse_float_dtype(options.dtype, "--dtype").value_or(DType::kBF16);
}

Ceiling gpu_ceiling() {
  const GpuRates rates = measure_gpu_rates();
  return {rates.device, rates.read_gb_per_s, rates.matrix_tflop_per_s};
}

Json head_of(const PartOptions& options) {
  std::string model = options.model.empty() ? options.preset : options.model;
  if (model.empty()) model = "glm-4.5-air";
  return {{"model", model}, {"dtype", options.dtype}};
}

void bench_moe(const PartOptions& options) {
  const Glm4MoeConfig config = config_of(options);
  std::vector<MoeBackendKind> kinds;
  for (const std::string& name : options.backends) kinds.push_back(moe_backend_from_name(name));
  const DType dtype = dtype_of(options);
  const Ceiling ceiling = gpu_ceiling();
  std::vector<SpeedRow> rows;
  for (const GpuMoeRow& row : bench_gpu_moe(config, dtype, kinds, options.batch_sizes)) {
    rows.push_back(
        {.name = fmt::format("{} {} tokens", row.backend, row.num_rows),
         .us = row.us,
         .bytes = row.bytes,
         .flops = row.flops,
         .note = fmt::format("{:.1f} experts", row.experts),
         .more = {
             {"backend", row.backend}, {"batch_size", row.num_rows}, {"experts", row.experts}}});
  }
  print_rows(rows, ceiling, head_of(options), options.json);
}

void bench_attention(const PartOptions& options) {
  const Glm4MoeConfig config = config_of(options);
  std::vector<GpuAttentionShape> shapes;
  for (const int64_t batch : options.batch_sizes) {
    for (const int64_t context : options.contexts) shapes.push_back({batch, 1, context});
  }
  for (const int64_t length : options.prompt_lens) shapes.push_back({1, length, length});
  const DType dtype = dtype_of(options);
  const Ceiling ceiling = gpu_ceiling();
  const std::vector<GpuSpeed> speeds =
      bench_gpu_attention(config, dtype, options.tokens_per_block, shapes);
  std::vector<SpeedRow> rows;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const GpuAttentionShape& shape = shapes[i];
    const bool decode = shape.num_rows == 1;
    rows.push_back({.name = decode ? fmt::format("decode batch {} context {}", shape.num_sequences,
                                                 shape.context)
                                   : fmt::format("prefill {}", shape.num_rows),
                    .us = speeds[i].us,
                    .bytes = speeds[i].bytes,
                    .flops = speeds[i].flops,
                    .note = fmt::format("{:.1f} MB of KV", speeds[i].bytes * 1e-6),
                    .more = {{"batch_size", shape.num_sequences},
                             {"num_rows", shape.num_rows},
                             {"context", shape.context}}});
  }
  print_rows(rows, ceiling, head_of(options), options.json);
}

void bench_gemm(const PartOptions& options) {
  const Glm4MoeConfig config = config_of(options);
  const DType dtype = dtype_of(options);
  const Ceiling ceiling = gpu_ceiling();
  std::vector<SpeedRow> rows;
  for (const GpuGemmRow& row : bench_gpu_gemm(config, dtype, options.batch_sizes)) {
    rows.push_back({.name = fmt::format("{} {} x {} M {} {}", row.matrix, row.out_size, row.in_size,
                                        row.num_rows, row.kernel),
                    .us = row.us,
                    .bytes = row.bytes,
                    .flops = row.flops,
                    .note = row.taken ? "taken" : "",
                    .more = {{"matrix", row.matrix},
                             {"kernel", row.kernel},
                             {"taken", row.taken},
                             {"num_rows", row.num_rows},
                             {"out_size", row.out_size},
                             {"in_size", row.in_size}}});
  }
  print_rows(rows, ceiling, head_of(options), options.json);
}

CLI::App* add_part(CLI::App& bench, const char* name, const char* help,
                   const std::shared_ptr<PartOptions>& options) {
  CLI::App* command = bench.add_subcommand(name, help);
  command->add_option("--preset", options->preset, "Shapes of a published model [glm-4.5-air]");
  command->add_option("--model", options->model, "Shapes of this folder's model");
  command->add_option("--dtype", options->dtype, "bfloat16 or float16")->capture_default_str();
  command->add_flag("--json", options->json);
  return command;
}

}  // namespace

void add_bench_parts(CLI::App& bench) {
  auto moe = std::make_shared<PartOptions>();
  moe->batch_sizes = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
  CLI::App* command = add_part(bench, "moe", "One MoE layer on the GPU", moe);
  command->add_option("--moe_backend", moe->backends, "CUTLASS, VANILLA or both")
      ->delimiter(',')
      ->capture_default_str();
  add_list(*command, "--batch_size", moe->batch_sizes, kMaxRows, "Tokens");
  command->callback([moe] { bench_moe(*moe); });

  auto attention = std::make_shared<PartOptions>();
  attention->batch_sizes = {1, 8, 32, 128};
  attention->contexts = {1024, 4096, 16384};
  attention->prompt_lens = {512, 2048, 8192};
  command = add_part(bench, "attention", "Attention of one layer on the GPU", attention);
  add_list(*command, "--batch_size", attention->batch_sizes, 1024, "Sequences that decode");
  add_list(*command, "--context", attention->contexts, kMaxContext, "Positions of each");
  add_list(*command, "--prompt_len", attention->prompt_lens, kMaxRows, "Tokens of a prefill");
  command->add_option("--tokens_per_block", attention->tokens_per_block, "KV block size")
      ->capture_default_str();
  command->callback([attention] { bench_attention(*attention); });

  auto gemm = std::make_shared<PartOptions>();
  gemm->batch_sizes = {1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024, 2048, 4096};
  command = add_part(bench, "gemm", "The dense products on the GPU, by both kernels", gemm);
  add_list(*command, "--batch_size", gemm->batch_sizes, kMaxRows, "Rows");
  command->callback([gemm] { bench_gemm(*gemm); });
}

}  // namespace glmoe::apps
