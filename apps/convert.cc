// glmoe convert and glmoe build: checkpoint -> converted folder -> engine.
#include <cstdio>

#include "apps/command.h"
#include "base/error.h"
#include "convert/build_engine.h"
#include "convert/convert_checkpoint.h"

namespace glmoe::apps {
namespace {

struct FolderOptions {
  std::string model_dir, output_dir;
  std::string dtype = "auto";
  std::string max_host_memory;
  int workers = 0;
  Mapping mapping;
};

std::function<bool()> add_folder_flags(CLI::App& command, FolderOptions& options) {
  command.add_option("--model_dir", options.model_dir, "Folder to read")->required();
  command.add_option("--output_dir", options.output_dir, "Folder to write")->required();
  command
      .add_option("--dtype", options.dtype,
                  "Type of the matrices: auto (as they are), float32, bfloat16 or float16")
      ->capture_default_str();
  command.add_option("--workers", options.workers, "Threads [one a physical core]")
      ->check(CLI::Range(0, 4096));
  command.add_option("--max_host_memory", options.max_host_memory, "For example 8G [no limit]");
  return add_mapping_flags(command, options.mapping);
}

uint64_t memory_limit(const std::string& text) {
  if (text.empty()) return 0;
  return static_cast<uint64_t>(parse_bytes(text, "--max_host_memory"));
}

void print_report(const char* what, const FolderOptions& options, int64_t num_ranks,
                  uint64_t num_bytes, DType dtype) {
  std::printf("%s %s: %lld rank%s, %s of tensors, %s\n", what, options.output_dir.c_str(),
              static_cast<long long>(num_ranks), num_ranks == 1 ? "" : "s",
              human_bytes(static_cast<double>(num_bytes)).c_str(),
              std::string(dtype_long_name(dtype)).c_str());
}

void convert(const FolderOptions& options) {
  ProgressBar bar("convert");
  const ConvertReport report =
      convert_checkpoint({.model_dir = options.model_dir,
                          .output_dir = options.output_dir,
                          .dtype = parse_float_dtype(options.dtype, "--dtype"),
                          .mapping = options.mapping,
                          .workers = options.workers,
                          .max_host_memory = memory_limit(options.max_host_memory)},
                         [&](uint64_t done, uint64_t total, const std::string& name) {
                           bar.update(done, total, name);
                         });
  print_report("converted to", options, report.num_ranks, report.num_bytes, report.dtype);
  if (report.resumed_bytes > 0) {
    std::printf("of these, %s were there from an interrupted run\n",
                human_bytes(static_cast<double>(report.resumed_bytes)).c_str());
  }
}

void build(const FolderOptions& options, bool mapping_given) {
  ProgressBar bar("build");
  BuildOptions build_options{.model_dir = options.model_dir,
                             .output_dir = options.output_dir,
                             .dtype = parse_float_dtype(options.dtype, "--dtype"),
                             .workers = options.workers,
                             .max_host_memory = memory_limit(options.max_host_memory)};
  // Without flags the converted folder's own mapping is kept; --tp_size 1 is one.
  if (mapping_given) build_options.mapping = options.mapping;
  const BuildReport report =
      build_engine(build_options, [&](uint64_t done, uint64_t total, const std::string& name) {
        bar.update(done, total, name);
      });
  print_report("built", options, report.num_ranks, report.num_bytes, report.dtype);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto options = std::make_shared<FolderOptions>();
  CLI::App* command =
      app.add_subcommand("convert", "Hugging Face checkpoint to a converted folder");
  add_folder_flags(*command, *options);
  command->callback([options] { convert(*options); });
}

void add_build(CLI::App& app) {
  auto options = std::make_shared<FolderOptions>();
  CLI::App* command =
      app.add_subcommand("build", "Converted (or Hugging Face) folder to an engine");
  const auto mapping_given = add_folder_flags(*command, *options);
  command->callback([options, mapping_given] { build(*options, mapping_given()); });
}

}  // namespace glmoe::apps
