// What the sub-commands share: registration, flags, progress, text output.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "glmoe/llm.h"
#include "tensor/dtype.h"

namespace glmoe::apps {

// Each adds its sub-command to `app`; parsing runs nothing, the callback does.
void add_convert(CLI::App& app);
void add_build(CLI::App& app);
void add_run(CLI::App& app);
void add_verify(CLI::App& app);
void add_inspect(CLI::App& app);
void add_plan(CLI::App& app);
void add_bench(CLI::App& app);
void add_explain(CLI::App& app);
void add_serve(CLI::App& app);
void add_chat(CLI::App& app);

// --backend, --dtype, --num_threads, ...: flags of everything that loads a model. `options` must
// outlive the parsing.
void add_model_flags(CLI::App& command, LlmOptions& options, bool model_required = true);
// --preset, --num_layers and --load_format: shapes without a folder.
void add_shape_flags(CLI::App& command, std::string& preset, int64_t& num_layers,
                     LlmOptions& options);
// Puts what they named into `options`. Throws kInvalidArgument, in the name of `command`, where
// there is neither a model nor a preset with dummy weights.
void resolve_shapes(const char* command, const std::string& preset, int64_t num_layers,
                    LlmOptions& options);
void add_sampling_flags(CLI::App& command, SamplingParams& sampling);

// --tensor_parallel_size (--tp_size) and its kin. The result tells, once the line is parsed,
// whether any of them was given.
std::function<bool()> add_mapping_flags(CLI::App& command, Mapping& mapping);

// CLI11 clamps a whole number that does not fit 64 bits and takes -1 for an unsigned one, both in
// silence: makes every whole-number flag of `app` and its sub-commands refuse them.
void check_whole_numbers(CLI::App& app);

// The DType that `name` says, nullopt for "auto". Throws kInvalidArgument naming the flag.
std::optional<DType> parse_float_dtype(const std::string& name, const std::string& flag);

// "8G", "512M", "65536": bytes. Throws kInvalidArgument naming the flag.
int64_t parse_bytes(const std::string& text, const std::string& flag);
std::string human_bytes(double bytes);

// A progress line on standard error, rewritten in place on a terminal and every few seconds
// elsewhere. Thread-safe.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();
  void update(uint64_t done, uint64_t total, const std::string& what);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Prints the object on one line of standard output.
void print_json(const Json& json);

// "glmoe: message" on standard error, one line whatever the message holds: names that came from
// strangers' files may hold newlines and terminal commands, which are shown as \x1b.
void print_error(const std::string& message);

}  // namespace glmoe::apps
