#include "gpu/gpu_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "kernels/cuda/fill/fill.h"
#include "tensor/dtype.h"

namespace glmoe {
namespace {

constexpr int64_t kAlignment = 256;  // of a tensor in the arena
constexpr size_t kStagingBytes = size_t{64} << 20;
constexpr int kStagingBuffers = 3;
constexpr float kDummyDeviation = 0.02f;  // as weights/dummy_weights.cc

DType dtype_of(cuda::ElementType type) {
  switch (type) {
    case cuda::ElementType::kF32: return DType::kF32;
    case cuda::ElementType::kBf16: return DType::kBF16;
    case cuda::ElementType::kF16: return DType::kF16;
  }
  return DType::kF32;
}

// Rows of one tensor of the arena and where they come from.
struct Item {
  std::byte* target = nullptr;
  cuda::ElementType type = cuda::ElementType::kF32;
  int64_t rows = 0, cols = 0;  // as they lie in the arena
  int64_t source_cols = 0;     // the rest of a row is zero
  DType source_dtype = DType::kF32;
  std::function<const std::byte*(int64_t row)> source;  // nullptr: a row of zeros
  const float* column_factors = nullptr;                // F32 alone: [cols] or nullptr
  bool is_norm = false;                                 // dummy weights: ones

  int64_t row_bytes() const { return cols * static_cast<int64_t>(cuda::element_size(type)); }
};

// Copies items through pinned buffers: threads fill one while the copy engine empties the others.
class Uploader {
 public:
  explicit Uploader(ThreadTeam& team) : team_(team) {}

  void upload(const Item& item) {
    const int64_t rows_a_piece =
        std::max<int64_t>(1, static_cast<int64_t>(kStagingBytes) / item.row_bytes());
    GLMOE_CHECK_LE(item.row_bytes(), static_cast<int64_t>(kStagingBytes), "a row of weights");
    for (int64_t begin = 0; begin < item.rows; begin += rows_a_piece) {
      const int64_t count = std::min(rows_a_piece, item.rows - begin);
      Staging& staging = stagings_[next_];
      next_ = (next_ + 1) % stagings_.size();
      staging.copied.synchronize();
      fill(item, begin, count, staging.buffer.data());
      GLMOE_CUDA(cudaMemcpyAsync(item.target + begin * item.row_bytes(), staging.buffer.data(),
                                 static_cast<size_t>(count * item.row_bytes()),
                                 cudaMemcpyHostToDevice, stream_.get()));
      staging.copied.record(stream_.get());
    }
  }
  void finish() { stream_.synchronize(); }

 private:
  struct Staging {
    PinnedBuffer buffer{kStagingBytes};
    CudaEvent copied;
  };

  static void multiply(std::byte* row, const float* factors, int64_t count) {
    auto* values = reinterpret_cast<float*>(row);
    for (int64_t i = 0; i < count; ++i) values[i] *= factors[i];
  }
  void fill(const Item& item, int64_t begin, int64_t count, std::byte* to) {
    const size_t size = cuda::element_size(item.type);
    team_.parallel_for(count, 4, [&](int64_t first, int64_t last, int) {
      for (int64_t r = first; r < last; ++r) {
        std::byte* row = to + r * item.row_bytes();
        const std::byte* from = item.source(begin + r);
        const int64_t valid = from == nullptr ? 0 : item.source_cols;
        if (valid > 0) {
          convert_elements(from, item.source_dtype, row, dtype_of(item.type),
                           static_cast<size_t>(valid));
        }
        if (item.column_factors != nullptr) multiply(row, item.column_factors, valid);
        std::memset(row + static_cast<size_t>(valid) * size, 0,
                    static_cast<size_t>(item.cols - valid) * size);
      }
    });
  }

  ThreadTeam& team_;
  CudaStream stream_;
  std::array<Staging, kStagingBuffers> stagings_;
  size_t next_ = 0;
};

const std::byte* row_of(const TensorView& view, int64_t row) {
  const int64_t cols = view.shape[view.shape.rank() - 1];
  return view.as<const std::byte>() + row * cols * static_cast<int64_t>(dtype_size(view.dtype));
}

}  // namespace

// Gives out places in the arena; without a base it only measures.
class GpuWeights::Layout {
 public:
  Layout(cuda::ElementType type, std::byte* base) : type_(type), base_(base) {}

  int64_t num_bytes() const { return used_; }
  const std::vector<Item>& items() const { return items_; }

  const float* vector(int64_t size, const float* source, bool is_norm = false) {
    Item item{.type = cuda::ElementType::kF32, .rows = 1, .cols = size, .is_norm = is_norm};
    item.source = [source](int64_t) { return reinterpret_cast<const std::byte*>(source); };
    return static_cast<const float*>(place(std::move(item), size, DType::kF32));
  }
  // A vector of the weights' type from F32.
  const void* narrow_vector(int64_t size, const float* source) {
    Item item{.type = type_, .rows = 1, .cols = size};
    item.source = [source](int64_t) { return reinterpret_cast<const std::byte*>(source); };
    return place(std::move(item), size, DType::kF32);
  }
  // Each row times `column_factors`, [cols].
  const float* wide_matrix(int64_t rows, int64_t cols, const TensorView* source,
                           const float* column_factors) {
    Item item{.type = cuda::ElementType::kF32, .rows = rows, .cols = cols};
    item.column_factors = column_factors;
    if (source != nullptr) {
      item.source = [view = *source](int64_t row) { return row_of(view, row); };
    }
    return static_cast<const float*>(
        place(std::move(item), cols, source != nullptr ? source->dtype : DType::kF32));
  }
  // Rows of `cols` values as `source` gives them, padded.
  GpuMatrix matrix(int64_t rows, int64_t cols, DType dtype,
                   std::function<const std::byte*(int64_t)> source) {
    Item item{.type = type_, .rows = rows, .cols = padded(cols)};
    item.source = std::move(source);
    const int64_t padded_cols = item.cols;
    return {place(std::move(item), cols, dtype), rows, padded_cols};
  }
  GpuMatrix plain(int64_t rows, int64_t cols, const TensorView* source) {
    if (source == nullptr) return matrix(rows, cols, DType::kBF16, nullptr);
    return matrix(rows, cols, source->dtype,
                  [view = *source](int64_t row) { return row_of(view, row); });
  }

 private:
  void* place(Item item, int64_t source_cols, DType dtype) {
    item.source_cols = source_cols;
    item.source_dtype = dtype;
    item.target = reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(base_) +
                                               static_cast<uintptr_t>(used_));
    used_ += (item.rows * item.row_bytes() + kAlignment - 1) / kAlignment * kAlignment;
    void* target = item.target;
    if (base_ != nullptr) items_.push_back(std::move(item));
    return target;
  }

  cuda::ElementType type_;
  std::byte* base_;
  int64_t used_ = 0;
  std::vector<Item> items_;
};

namespace {

// Row of [gate rows; up rows] that stands at `row` of the interleaved matrix; -1: padding.
int64_t interleaved_source(int64_t row, int64_t width) {
  const int64_t within = row / 16 * 8 + row % 8;
  if (within >= width) return -1;
  return row % 16 < 8 ? within : width + within;
}

}  // namespace

void GpuWeights::lay_out(const Glm4MoeConfig& c, const Glm4MoeWeights* weights, Layout& layout) {
  const int64_t hidden = c.hidden_size;
  const auto mlp = [&](int64_t width, const MlpWeights* from) {
    GpuMlp made;
    const TensorView gate_up = from == nullptr ? TensorView{} : from->gate_up.codes;
    made.gate_up = layout.matrix(2 * padded(width), hidden, gate_up.dtype, [=](int64_t row) {
      const int64_t source = interleaved_source(row, width);
      return source < 0 ? nullptr : row_of(gate_up, source);
    });
    made.down = layout.plain(hidden, width, from == nullptr ? nullptr : &from->down.codes);
    return made;
  };
  const auto moe = [&](const MoeWeights* from, std::span<const float> norm) {
    const MoeConfig& m = c.moe;
    const int64_t width = m.moe_intermediate_size;
    const int64_t routed = m.num_experts;
    GpuMoe made;
    made.num_experts = routed + m.num_shared_experts;
    made.router = layout.wide_matrix(routed, hidden,
                                     from == nullptr ? nullptr : &from->router.codes, norm.data());
    if (from == nullptr ? m.normalization_mode == ExpertScaleNormalizationMode::kSigmoidBiasRenorm
                        : !from->selection_bias.empty()) {
      made.selection_bias =
          layout.vector(routed, from == nullptr ? nullptr : from->selection_bias.data());
    }
    // Expert e's rows of gate and up; the shared experts are slices of one wide MLP.
    const TensorView gate_up = from == nullptr ? TensorView{} : from->experts_gate_up.codes;
    const TensorView down = from == nullptr ? TensorView{} : from->experts_down.codes;
    const TensorView shared_gate_up =
        from == nullptr || !from->shared ? TensorView{} : from->shared->gate_up.codes;
    const TensorView shared_down =
        from == nullptr || !from->shared ? TensorView{} : from->shared->down.codes;
    const int64_t gate_up_rows = 2 * padded(width);
    made.gate_up = layout.matrix(
        made.num_experts * gate_up_rows, hidden, gate_up.dtype,
        [=](int64_t row) -> const std::byte* {
          const int64_t expert = row / gate_up_rows;
          const int64_t source = interleaved_source(row % gate_up_rows, width);
          if (source < 0) return nullptr;
          if (expert < routed) return row_of(gate_up, expert * 2 * width + source);
          const int64_t slice = (expert - routed) * width;
          const int64_t shared_width = m.num_shared_experts * width;
          return row_of(shared_gate_up,
                        source < width ? slice + source : shared_width + slice + source - width);
        });
    made.down = layout.matrix(
        made.num_experts * hidden, width, down.dtype, [=](int64_t row) -> const std::byte* {
          const int64_t expert = row / hidden;
          if (expert < routed) return row_of(down, row);
          return row_of(shared_down, row % hidden) +
                 (expert - routed) * width * static_cast<int64_t>(dtype_size(shared_down.dtype));
        });
    return made;
  };

  layers_.clear();
  embedding_ =
      layout.plain(c.vocab_size, hidden, weights == nullptr ? nullptr : &weights->embedding.codes);
  for (int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const LayerWeights* from =
        weights == nullptr ? nullptr : &weights->layers[static_cast<size_t>(l)];
    const auto vector = [&](int64_t size, std::span<const float> LayerWeights::*member,
                            bool is_norm, bool there) -> const float* {
      if (from != nullptr) there = !(from->*member).empty();
      if (!there) return nullptr;
      return layout.vector(size, from == nullptr ? nullptr : (from->*member).data(), is_norm);
    };
    const int64_t qkv_rows = c.q_size() + 2 * c.kv_size();
    GpuLayer layer;
    layer.input_norm = vector(hidden, &LayerWeights::input_norm, true, true);
    layer.qkv = layout.plain(qkv_rows, hidden, from == nullptr ? nullptr : &from->qkv.codes);
    layer.qkv_bias = vector(qkv_rows, &LayerWeights::qkv_bias, false, c.attention_bias);
    if (layer.qkv_bias != nullptr || c.attention_bias) {
      layer.qkv_bias_16 =
          layout.narrow_vector(qkv_rows, from == nullptr ? nullptr : from->qkv_bias.data());
    }
    layer.q_norm = vector(c.head_dim, &LayerWeights::q_norm, true, c.use_qk_norm);
    layer.k_norm = vector(c.head_dim, &LayerWeights::k_norm, true, c.use_qk_norm);
    layer.o = layout.plain(hidden, c.q_size(), from == nullptr ? nullptr : &from->o.codes);
    layer.post_attention_norm = vector(hidden, &LayerWeights::post_attention_norm, true, true);
    if (c.is_moe_layer(l)) {
      layer.moe = from == nullptr ? moe(nullptr, {}) : moe(&*from->moe, from->post_attention_norm);
    } else {
      layer.mlp = mlp(c.intermediate_size, from == nullptr ? nullptr : &*from->mlp);
    }
    layers_.push_back(layer);
  }
  final_norm_ =
      layout.vector(hidden, weights == nullptr ? nullptr : weights->final_norm.data(), true);
  lm_head_ = c.tie_word_embeddings
                 ? embedding_
                 : layout.plain(c.vocab_size, hidden,
                                weights == nullptr ? nullptr : &weights->lm_head.codes);
}

int64_t GpuWeights::bytes_of(const Glm4MoeConfig& config, cuda::ElementType type) {
  Layout measure(type, nullptr);
  GpuWeights(type).lay_out(config, nullptr, measure);
  return measure.num_bytes();
}

GpuWeights::GpuWeights(const Glm4MoeConfig& config, const Glm4MoeWeights& weights,
                       cuda::ElementType type, ThreadTeam& team)
    : type_(type) {
  Layout measure(type, nullptr);
  lay_out(config, &weights, measure);
  arena_ = DeviceBuffer(static_cast<size_t>(measure.num_bytes()), "the model's weights");
  Layout layout(type, arena_.data());
  lay_out(config, &weights, layout);
  Uploader uploader(team);
  for (const Item& item : layout.items()) uploader.upload(item);
  uploader.finish();
}

GpuWeights::GpuWeights(const Glm4MoeConfig& config, cuda::ElementType type, uint64_t seed)
    : type_(type) {
  Layout measure(type, nullptr);
  lay_out(config, nullptr, measure);
  arena_ = DeviceBuffer(static_cast<size_t>(measure.num_bytes()), "the model's dummy weights");
  Layout layout(type, arena_.data());
  lay_out(config, nullptr, layout);
  const CudaStream stream;
  const float half = std::sqrt(3.0f) * kDummyDeviation;
  for (const Item& item : layout.items()) {
    const int64_t count = item.rows * item.cols;
    if (item.is_norm) {
      cuda::launch_fill_constant(reinterpret_cast<float*>(item.target), count, 1.0f, stream.get());
    } else {
      cuda::launch_fill_random(item.target, item.type, count, half, ++seed, stream.get());
    }
  }
  stream.synchronize();
}

}  // namespace glmoe
