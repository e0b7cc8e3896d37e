#include "kernels/cuda/embedding/embedding.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <climits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;

template <class T>
constexpr ElementType kType = std::is_same_v<T, __half> ? ElementType::kF16 : ElementType::kBf16;

struct Case {
  size_t num_tokens;
  int hidden_size;
  int vocab_size;
};
// The models' widths, the narrowest, the widest, and ones that end inside a block's threads; one
// token and many.
constexpr Case kCases[] = {{1, 4096, 1000}, {1, 5120, 1000}, {300, 5120, 700}, {7, 8, 5},
                           {33, 264, 100},  {5, 32768, 11},  {3, 8200, 11},    {2000, 128, 3000}};

template <class T>
void check(const Case& c, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto width = static_cast<size_t>(c.hidden_size);
  const auto vocab = static_cast<size_t>(c.vocab_size);
  std::vector<T> table(vocab * width);
  for (T& value : table) value = static_cast<T>(normal(random));
  std::vector<int32_t> ids(c.num_tokens);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % vocab);
  ids[0] = c.vocab_size - 1;
  if (ids.size() > 4) ids[1] = -1, ids[2] = c.vocab_size, ids[3] = INT_MIN, ids[4] = INT_MAX;
  const DeviceArray<T> table_dev(table);
  const DeviceArray<int32_t> ids_dev(ids);
  const DeviceArray<float> out_dev(c.num_tokens * width);
  GLMOE_CUDA(cudaMemset(out_dev.data(), 0xff, out_dev.num_bytes()));
  launch_embedding({.token_ids = ids_dev.data(),
                    .table = table_dev.data(),
                    .out = out_dev.data(),
                    .table_type = kType<T>,
                    .num_tokens = static_cast<int64_t>(c.num_tokens),
                    .hidden_size = c.hidden_size,
                    .vocab_size = c.vocab_size},
                   nullptr);
  const std::vector<float> out = out_dev.download();
  for (size_t i = 0; i < out.size(); ++i) {
    const int32_t id = ids[i / width];
    const bool inside = id >= 0 && id < c.vocab_size;
    const float wanted =
        inside ? static_cast<float>(table[static_cast<size_t>(id) * width + i % width]) : 0.0f;
    expect(out[i] == wanted, element_name(kType<T>) + (" H " + std::to_string(c.hidden_size)) +
                                 ", token " + std::to_string(i / width) + ", value " +
                                 std::to_string(i % width) + " is " + std::to_string(out[i]) +
                                 ", wanted " + std::to_string(wanted));
  }
}

CUDA_TEST(EmbeddingRowsAreTheTablesAndZeroOutside) {
  uint32_t seed = 1;
  for (const Case& c : kCases) {
    check<__nv_bfloat16>(c, ++seed);
    check<__half>(c, ++seed);
  }
}

CUDA_TEST(EmbeddingOfNoTokensIsNoWork) {
  launch_embedding({.hidden_size = 128, .vocab_size = 10}, nullptr);
}

CUDA_TEST(WrongEmbeddingParametersAreRefusedByName) {
  const DeviceArray<float> memory(1024);
  const EmbeddingParams good{.token_ids = reinterpret_cast<const int32_t*>(memory.data()),
                             .table = memory.data(),
                             .out = memory.data(),
                             .num_tokens = 1,
                             .hidden_size = 8,
                             .vocab_size = 10};
  const auto refused = [&](auto change, const char* part) {
    EmbeddingParams params = good;
    change(params);
    expect_refused([&] { launch_embedding(params, nullptr); }, part);
  };
  refused([](EmbeddingParams& p) { p.hidden_size = 12; }, "hidden_size is 12");
  refused([](EmbeddingParams& p) { p.hidden_size = 32776; }, "hidden_size is 32776");
  refused([](EmbeddingParams& p) { p.vocab_size = 0; }, "vocab_size is 0");
  refused([](EmbeddingParams& p) { p.num_tokens = -1; }, "num_tokens is -1");
  refused([](EmbeddingParams& p) { p.table_type = ElementType::kF32; }, "table_type is float32");
  refused([](EmbeddingParams& p) { p.token_ids = nullptr; }, "token_ids is null");
  refused([](EmbeddingParams& p) { p.table = nullptr; }, "table is null");
  refused([](EmbeddingParams& p) { ++p.out; }, "out is not aligned");
}

}  // namespace
}  // namespace glmoe::cuda
