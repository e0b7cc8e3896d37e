// Random weights of a sane scale, made in parallel at memory speed: benches of shapes that no
// checkpoint here has.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "base/rng.h"
#include "spec/weight_plan.h"
#include "weights/loaded_weights.h"

namespace glmoe {
namespace {

constexpr float kDeviation = 0.02f;            // initializer_range of the published models
constexpr int64_t kTableElements = 256 << 10;  // stays in the second-level cache
constexpr int64_t kBlockElements = 16 << 10;

// Uniform numbers in (-half, half), `half` being sqrt(3) deviations, made once; blocks are copies
// from random places of it. That is as fast as memory, and random enough for a bench.
std::vector<std::byte> make_table(DType dtype, float half, uint64_t seed) {
  std::vector<float> numbers(static_cast<size_t>(kTableElements + kBlockElements));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = half * static_cast<float>(random_uniform(seed, 2, i) * 2 - 1);
  }
  std::vector<std::byte> table(numbers.size() * dtype_size(dtype));
  convert_elements(numbers.data(), DType::kF32, table.data(), dtype, numbers.size());
  return table;
}

class DummyFiller {
 public:
  DummyFiller(DType dtype, uint64_t seed, ThreadTeam& team) : seed_(seed), team_(team) {
    const float half = std::sqrt(3.0f) * kDeviation;
    tables_[dtype] = make_table(dtype, half, seed);
    if (dtype != DType::kF32) tables_[DType::kF32] = make_table(DType::kF32, half, seed);
  }

  void fill(const LogicalTensor& tensor, const TensorView& view, uint64_t stream) {
    if (tensor.role == WeightRole::kVector && !tensor.name.ends_with("bias")) {
      std::fill_n(view.as<float>(), view.num_elements(), 1.0f);
      return;
    }
    const std::vector<std::byte>& table = tables_.at(view.dtype);
    const size_t size = dtype_size(view.dtype);
    const int64_t blocks = (view.num_elements() + kBlockElements - 1) / kBlockElements;
    team_.parallel_for(blocks, 16, [&](int64_t first, int64_t last, int) {
      for (int64_t block = first; block < last; ++block) {
        const int64_t begin = block * kBlockElements;
        const int64_t count = std::min(kBlockElements, view.num_elements() - begin);
        const uint64_t from = random_bits(seed_, 3 + stream, static_cast<uint64_t>(block)) %
                              static_cast<uint64_t>(kTableElements);
        std::memcpy(view.as<std::byte>() + static_cast<size_t>(begin) * size,
                    table.data() + from * size, static_cast<size_t>(count) * size);
      }
    });
  }

 private:
  const uint64_t seed_;
  ThreadTeam& team_;
  std::map<DType, std::vector<std::byte>> tables_;
};

}  // namespace

LoadedWeights dummy_weights(const Glm4MoeConfig& config, DType dtype, uint64_t seed,
                            ThreadTeam& team, uint64_t available_bytes) {
  const WeightPlan plan = make_weight_plan(config, config.num_nextn_predict_layers > 0);
  const auto blobs = list_rank_blobs(plan, Mapping{}.resolved(), dtype);
  const BlobBuffer buffer =
      allocate_blobs(blobs, available_bytes, "dummy weights", "take fewer layers, or free some");
  DummyFiller filler(dtype, seed, team);
  BlobSet set;
  set.config = config;
  set.dtype = dtype;
  set.folder = "dummy weights";
  set.owners.push_back(buffer.memory);
  for (size_t b = 0; b < blobs.size(); ++b) {
    filler.fill(plan.tensors[blobs[b].tensor], buffer.views[b], static_cast<uint64_t>(b));
    set.tensors[blobs[b].name] = buffer.views[b];
    set.num_bytes += blobs[b].num_bytes();
  }
  return LoadedWeights(std::move(set));
}

}  // namespace glmoe
