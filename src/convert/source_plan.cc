#include "convert/source_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace glmoe {
namespace {

bool is_plain(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Names that only quantised checkpoints have beside or instead of their weights.
bool is_quantisation_companion(std::string_view name) {
  constexpr std::string_view kEndings[] = {".weight_scale",
                                           ".weight_scale_inv",
                                           ".weight_scale_2",
                                           ".weight_global_scale",
                                           ".input_scale",
                                           ".input_global_scale",
                                           ".weight_packed",
                                           ".weight_shape",
                                           ".weight_zero_point",
                                           ".qweight",
                                           ".qzeros",
                                           ".scales",
                                           ".g_idx",
                                           ".k_scale",
                                           ".v_scale"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

// The layer in "model.layers.N.rest", or -1.
int64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return -1;
  int64_t layer = 0;
  size_t i = kPrefix.size();
  if (i >= name.size() || name[i] < '0' || name[i] > '9') return -1;
  for (; i < name.size() && name[i] >= '0' && name[i] <= '9' && layer < 1000000; ++i) {
    layer = layer * 10 + (name[i] - '0');
  }
  return layer;
}

class Resolver {
 public:
  explicit Resolver(std::shared_ptr<const HfFolder> folder) : folder_(std::move(folder)) {}

  TensorSource resolve() {
    refuse_quantised();
    Glm4MoeConfig config = folder_->config();
    config.num_nextn_predict_layers = num_mtp_layers(config);
    WeightPlan plan = make_weight_plan(config, config.num_nextn_predict_layers > 0);
    source_.plan.config = plan.config;
    for (LogicalTensor& tensor : plan.tensors) add(std::move(tensor));
    collect_leftovers();
    report();
    source_.dtype = matrix_dtype();
    source_.mapping = Mapping{}.resolved();
    source_.folder = folder_->path();
    source_.kind = "huggingface";
    source_.fingerprint = folder_->fingerprint();
    source_.release = [folder = folder_.get()](const SourcePiece& piece) {
      folder->release(*static_cast<const HostTensor*>(piece.origin));
    };
    source_.owner = folder_;
    return std::move(source_);
  }

 private:
  void refuse_quantised() const {
    for (const std::string& name : folder_->names()) {
      const HostTensor& tensor = folder_->tensor(name);
      if (!is_quantisation_companion(name) && tensor.dtype != DType::kF8E4M3 &&
          tensor.dtype != DType::kF8E5M2) {
        continue;
      }
      fail(ErrorCode::kUnsupported,
           "{}: quantised checkpoints are not supported yet (tensor {}, {}); use the checkpoint in "
           "bfloat16, float16 or float32",
           folder_->path(), name, dtype_name(tensor.dtype));
    }
  }

  // MTP layers with at least one tensor in the checkpoint; those that follow have to be whole.
  int64_t num_mtp_layers(const Glm4MoeConfig& config) const {
    int64_t found = 0;
    for (const std::string& name : folder_->names()) {
      found = std::max(found, layer_of(name) - config.num_hidden_layers + 1);
    }
    return std::min(found, config.num_nextn_predict_layers);
  }

  // First of the part's alternative names that the checkpoint has.
  const HostTensor* find(const SourcePart& part) const {
    for (const std::string& name : part.names) {
      if (const HostTensor* tensor = folder_->find(name)) return tensor;
    }
    return nullptr;
  }

  // The layout of which most parts are there; the first where none is.
  const std::vector<SourcePart>& choose_layout(const LogicalTensor& tensor) const {
    const std::vector<SourcePart>* best = &tensor.layouts.front();
    int64_t most = 0;
    for (const auto& layout : tensor.layouts) {
      const int64_t present = std::count_if(
          layout.begin(), layout.end(), [&](const auto& part) { return find(part) != nullptr; });
      if (present == static_cast<int64_t>(layout.size())) return layout;
      if (present > most) {
        most = present;
        best = &layout;
      }
    }
    return *best;
  }

  static bool is_mtp_copy(const LogicalTensor& tensor) {
    return tensor.optional && (tensor.name.ends_with(".vocab_embedding.weight") ||
                               tensor.name.ends_with(".lm_head.weight"));
  }

  void add(LogicalTensor tensor) {
    const std::vector<SourcePart>& layout = choose_layout(tensor);
    if (is_mtp_copy(tensor) && find(layout.front()) == nullptr) return;
    std::vector<SourcePiece> pieces;
    for (const SourcePart& part : layout) {
      const HostTensor* found = find(part);
      if (found == nullptr) {
        if (missing_seen_.insert(part.names.front()).second) {
          missing_.push_back(part.names.front());
        }
        continue;
      }
      used_.insert(found->name);
      if (check(tensor, part, *found)) pieces.push_back(piece_of(tensor, part, *found));
    }
    source_.plan.tensors.push_back(std::move(tensor));
    source_.pieces.push_back(std::move(pieces));
  }

  // Type and shape; what is wrong goes into the report, once a tensor.
  bool check(const LogicalTensor& tensor, const SourcePart& part, const HostTensor& found) {
    Shape wanted = tensor.shape;
    if (part.source_matrix < 0) {
      const int64_t cols = matrix_cols(tensor.shape);
      wanted = tensor.shape.rank() == 1 ? Shape{part.rows} : Shape{part.rows, cols};
    }
    if (is_plain(found.dtype) && found.shape == wanted) return true;
    if (!wrong_seen_.insert(found.name).second) return false;
    if (!is_plain(found.dtype)) {
      wrong_.push_back(fmt::format("{} (F32, F16 or BF16 was wanted, found {})", found.name,
                                   dtype_name(found.dtype)));
    } else {
      wrong_.push_back(fmt::format("{} ({} was wanted, found {})", found.name, wanted.to_string(),
                                   found.shape.to_string()));
    }
    return false;
  }

  static SourcePiece piece_of(const LogicalTensor& tensor, const SourcePart& part,
                              const HostTensor& found) {
    const int64_t cols = matrix_cols(tensor.shape);
    int64_t first_row = part.source_row;
    if (part.source_matrix >= 0) first_row += part.source_matrix * matrix_rows(tensor.shape);
    const auto offset = static_cast<size_t>(first_row * cols) * dtype_size(found.dtype);
    return {found.bytes.data() + offset,
            found.dtype,
            cols,
            part.matrix,
            part.row_begin,
            part.rows,
            0,
            cols,
            &found};
  }

  // Tensors that Hugging Face's own loader also passes over.
  bool is_ignorable(const std::string& name) const {
    const Glm4MoeConfig& config = source_.plan.config;
    if (name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".masked_bias")) return true;
    if (name == "lm_head.weight") return config.tie_word_embeddings;
    return layer_of(name) >= config.num_hidden_layers + config.num_nextn_predict_layers;
  }

  void collect_leftovers() {
    size_t ignored = 0, beyond = 0;
    const Glm4MoeConfig& config = source_.plan.config;
    for (const std::string& name : folder_->names()) {
      if (used_.count(name) != 0) continue;
      if (is_ignorable(name)) {
        ++(layer_of(name) >= config.num_hidden_layers ? beyond : ignored);
      } else {
        left_over_.push_back(name);
      }
    }
    if (ignored > 0) log::debug("{}: {} tensors are not used", folder_->path(), ignored);
    if (beyond > 0) {
      log::warn(
          "{}: {} tensors of layers from {} on are left out: config.json has num_hidden_layers {} "
          "and num_nextn_predict_layers {}",
          folder_->path(), beyond, config.num_hidden_layers + config.num_nextn_predict_layers,
          config.num_hidden_layers, folder_->config().num_nextn_predict_layers);
    }
  }

  void report() const {
    std::vector<std::string> reasons;
    const auto add = [&](const char* what, const std::vector<std::string>& tensors) {
      if (tensors.empty()) return;
      reasons.push_back(
          fmt::format("{} ({}): {}", what, tensors.size(), join_reasons(tensors, ", ")));
    };
    add("missing tensors", missing_);
    const int64_t layers = source_.plan.config.num_hidden_layers;
    if (!missing_.empty() &&
        std::all_of(missing_.begin(), missing_.end(),
                    [&](const std::string& name) { return layer_of(name) >= layers; })) {
      reasons.back() +=
          " (of the MTP layer, which is there in part only: with num_nextn_predict_layers 0 in "
          "config.json it is left out)";
    }
    add("tensors of the wrong shape or type", wrong_);
    add("tensors that are not part of this model", left_over_);
    fail_with_reasons(ErrorCode::kCorrupt,
                      folder_->path() + ": config.json and the tensors do not match", reasons);
  }

  // What --dtype auto means: the type of the first layer's matrices, whatever config.json says.
  DType matrix_dtype() const {
    for (size_t t = 0; t < source_.plan.tensors.size(); ++t) {
      if (source_.plan.tensors[t].role == WeightRole::kMatrix) {
        return source_.pieces[t].front().dtype;
      }
    }
    return DType::kBF16;
  }

  std::shared_ptr<const HfFolder> folder_;
  TensorSource source_;
  std::set<std::string> used_, missing_seen_, wrong_seen_;
  std::vector<std::string> missing_, wrong_, left_over_;
};

}  // namespace

TensorSource resolve_source(std::shared_ptr<const HfFolder> folder) {
  return Resolver(std::move(folder)).resolve();
}

}  // namespace glmoe
