// glmoe verify: logits and greedy tokens against a reference, or an engine against its source.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "apps/command.h"
#include "artifact/model_folder.h"
#include "base/error.h"
#include "base/thread_team.h"
#include "checkpoint/safetensors.h"
#include "convert/compare.h"

namespace glmoe::apps {
namespace {

struct VerifyOptions {
  LlmOptions llm;
  std::string reference;
  std::string source;
  std::optional<double> max_rel_err;  // unset: by the computing type
  bool json = false;
};

struct Reference {
  std::vector<std::vector<int32_t>> input_ids;   // [B][T]
  std::vector<float> logits;                     // [B, T, V]
  std::vector<std::vector<int32_t>> greedy_ids;  // [B][S] or empty
  int64_t vocab_size = 0;
};

const HostTensor& typed_tensor(const SafetensorsFile& file, const std::string& name, DType dtype,
                               int rank) {
  const HostTensor& tensor = file.tensor(name);
  if (tensor.dtype != dtype || tensor.shape.rank() != rank) {
    fail(ErrorCode::kCorrupt, "{}: tensor '{}' is {} {}, {} with {} dimensions was wanted",
         file.path(), name, dtype_name(tensor.dtype), tensor.shape.to_string(), dtype_name(dtype),
         rank);
  }
  return tensor;
}

std::vector<std::vector<int32_t>> read_ids(const HostTensor& tensor) {
  std::vector<std::vector<int32_t>> rows(static_cast<size_t>(tensor.shape[0]));
  const auto width = static_cast<size_t>(tensor.shape[1]);
  for (size_t b = 0; b < rows.size(); ++b) {
    rows[b].resize(width);
    std::memcpy(rows[b].data(), tensor.bytes.data() + b * width * sizeof(int32_t),
                width * sizeof(int32_t));
  }
  return rows;
}

Reference read_reference(const std::string& path) {
  const SafetensorsFile file(path);
  Reference reference;
  reference.input_ids = read_ids(typed_tensor(file, "input_ids", DType::kI32, 2));
  const HostTensor& logits = typed_tensor(file, "logits", DType::kF32, 3);
  const auto batch = static_cast<int64_t>(reference.input_ids.size());
  const auto length = batch > 0 ? static_cast<int64_t>(reference.input_ids[0].size()) : int64_t{0};
  if (logits.shape[0] != batch || logits.shape[1] != length || batch * length == 0) {
    fail(ErrorCode::kCorrupt, "{}: logits {} do not go with input_ids [{}, {}]", path,
         logits.shape.to_string(), batch, length);
  }
  reference.vocab_size = logits.shape[2];
  reference.logits.resize(static_cast<size_t>(logits.shape.num_elements()));
  std::memcpy(reference.logits.data(), logits.bytes.data(), logits.bytes.size());
  if (file.tensors().count("greedy_ids") != 0) {
    reference.greedy_ids = read_ids(typed_tensor(file, "greedy_ids", DType::kI32, 2));
  }
  return reference;
}

struct LogitErrors {
  double rel_err = 0.0;
  double max_abs_err = 0.0;
  double top1 = 0.0;  // share of positions with the same most likely token
};

LogitErrors compare_logits(const Reference& reference,
                           const std::vector<std::vector<float>>& rows) {
  double difference = 0.0, norm = 0.0;
  LogitErrors errors;
  int64_t same = 0, positions = 0;
  const float* wanted = reference.logits.data();
  const auto width = static_cast<size_t>(reference.vocab_size);
  for (const std::vector<float>& row : rows) {
    for (size_t begin = 0; begin < row.size(); begin += width, wanted += width) {
      size_t best_ours = 0, best_wanted = 0;
      for (size_t v = 0; v < width; ++v) {
        const double ours = row[begin + v], other = wanted[v];
        const double delta = ours - other;
        difference += delta * delta;
        norm += other * other;
        // Written so that a NaN counts as the largest error.
        if (!(std::abs(delta) <= errors.max_abs_err)) errors.max_abs_err = std::abs(delta);
        if (row[begin + v] > row[begin + best_ours]) best_ours = v;
        if (wanted[v] > wanted[best_wanted]) best_wanted = v;
      }
      same += best_ours == best_wanted ? 1 : 0;
      ++positions;
    }
  }
  errors.rel_err = std::sqrt(difference / norm);
  errors.top1 = static_cast<double>(same) / static_cast<double>(positions);
  return errors;
}

// Rows of greedy_ids begin with the first tokens of input_ids; the rest is what greedy decoding
// gives. Returns how many rows we continue in the same way.
int64_t count_same_greedy(LLM& llm, const Reference& reference) {
  std::vector<Prompt> prompts;
  std::vector<SamplingParams> sampling;
  for (size_t b = 0; b < reference.greedy_ids.size(); ++b) {
    const std::vector<int32_t>& row = reference.greedy_ids[b];
    const std::vector<int32_t>& input = reference.input_ids[b % reference.input_ids.size()];
    size_t given = 0;
    while (given < row.size() && given < input.size() && row[given] == input[given]) ++given;
    // A third of the row at least is to be generated, whatever the texts have in common.
    given = std::min(given, row.size() / 3);
    if (given == 0) {
      fail(ErrorCode::kCorrupt, "greedy_ids row {} does not begin like input_ids row {}", b, b);
    }
    prompts.emplace_back(std::vector<int32_t>(row.begin(), row.begin() + static_cast<long>(given)));
    SamplingParams greedy;
    greedy.temperature = 0.0f;
    greedy.max_tokens = static_cast<int64_t>(row.size() - given);
    greedy.ignore_eos = true;
    sampling.push_back(greedy);
  }
  const std::vector<RequestOutput> outputs = llm.generate(prompts, sampling);
  int64_t same = 0;
  for (size_t b = 0; b < outputs.size(); ++b) {
    std::vector<int32_t> ours = prompts[b].token_ids;
    const std::vector<int32_t>& generated = outputs[b].outputs[0].token_ids;
    ours.insert(ours.end(), generated.begin(), generated.end());
    same += ours == reference.greedy_ids[b] ? 1 : 0;
  }
  return same;
}

int verify_reference(const VerifyOptions& options) {
  const Reference reference = read_reference(options.reference);
  LLM llm(options.llm);
  if (llm.config().vocab_size != reference.vocab_size) {
    fail(ErrorCode::kCorrupt, "{}: logits of {} entries, but {} has a vocabulary of {}",
         options.reference, reference.vocab_size, options.llm.model, llm.config().vocab_size);
  }
  const LogitErrors errors = compare_logits(reference, llm.logits(reference.input_ids));
  const auto rows = static_cast<int64_t>(reference.greedy_ids.size());
  const int64_t same = rows > 0 ? count_same_greedy(llm, reference) : 0;

  const std::string& dtype = options.llm.dtype == "auto" ? llm.config().dtype : options.llm.dtype;
  const bool exact = dtype == "float32";
  const double limit = options.max_rel_err.value_or(exact ? 1e-4 : 2e-2);
  // In a 16-bit type two tokens may tie within rounding; only float32 has to agree on every one.
  const bool ok = errors.rel_err <= limit && (!exact || same == rows);
  const std::string greedy = rows > 0 ? fmt::format("{}/{}", same, rows) : "none";
  if (options.json) {
    print_json({{"rel_err", errors.rel_err},
                {"max_abs_err", errors.max_abs_err},
                {"top1", errors.top1},
                {"greedy_same", same},
                {"greedy_rows", rows},
                {"dtype", dtype},
                {"max_rel_err", limit},
                {"ok", ok}});
  } else {
    std::printf("rel_err=%.3e max_abs_err=%.3e top1=%.4f greedy=%s dtype=%s limit=%.1e %s\n",
                errors.rel_err, errors.max_abs_err, errors.top1, greedy.c_str(), dtype.c_str(),
                limit, ok ? "ok" : "FAILED");
  }
  return ok ? 0 : 1;
}

int verify_source(const VerifyOptions& options) {
  ThreadTeam team(static_cast<int>(options.llm.num_threads));
  const CompareReport report = compare_engine_with_source(options.llm.model, options.source, team);
  if (options.json) {
    Json different = Json::array();
    for (const TensorDifference& difference : report.different) {
      different.push_back({{"name", difference.name},
                           {"position", difference.position},
                           {"num_different", difference.num_different},
                           {"max_abs_diff", difference.max_abs_diff}});
    }
    print_json({{"compared", report.compared},
                {"different", different},
                {"missing", report.missing},
                {"extra", report.extra},
                {"ok", report.equal()}});
    return report.equal() ? 0 : 1;
  }
  for (const TensorDifference& difference : report.different) {
    std::printf("differs: %s at [%s], %lld elements, at most by %g\n", difference.name.c_str(),
                fmt::format("{}", fmt::join(difference.position, ", ")).c_str(),
                static_cast<long long>(difference.num_different), difference.max_abs_diff);
  }
  for (const std::string& name : report.missing) std::printf("missing: %s\n", name.c_str());
  for (const std::string& name : report.extra) std::printf("extra: %s\n", name.c_str());
  std::printf("compared=%lld different=%zu missing=%zu extra=%zu %s\n",
              static_cast<long long>(report.compared), report.different.size(),
              report.missing.size(), report.extra.size(), report.equal() ? "ok" : "FAILED");
  return report.equal() ? 0 : 1;
}

}  // namespace

void add_verify(CLI::App& app) {
  auto options = std::make_shared<VerifyOptions>();
  options->llm.max_batch_size = 16;
  CLI::App* command =
      app.add_subcommand("verify", "Compare logits with a reference, or an engine with its source");
  add_model_flags(*command, options->llm);
  auto* reference = command->add_option("--reference", options->reference,
                                        "safetensors with input_ids, logits and greedy_ids");
  auto* source = command->add_option("--source", options->source,
                                     "Hugging Face folder that the engine was made from");
  reference->excludes(source);
  command->add_option("--max_rel_err", options->max_rel_err,
                      "Limit of ||ours - ref|| / ||ref|| [1e-4 in float32, else 2e-2]");
  command->add_flag("--json", options->json);
  command->callback([options] {
    if (options->max_rel_err && !(*options->max_rel_err >= 0.0)) {
      fail_argument("--max_rel_err: a number from 0 was wanted, found {}", *options->max_rel_err);
    }
    if (options->reference.empty() && options->source.empty()) {
      fail_argument("verify: --reference FILE or --source FOLDER is wanted");
    }
    const int status =
        options->source.empty() ? verify_reference(*options) : verify_source(*options);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace glmoe::apps
