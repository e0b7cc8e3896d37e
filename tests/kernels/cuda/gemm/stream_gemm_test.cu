#include "kernels/cuda/gemm/stream_gemm.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "test_values.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::kTypeOf;
using cuda_test::normal_values;
using cuda_test::poison;

constexpr int kNumSms = 132;

struct Case {
  const char* name;
  int rows;  // of x; with experts tokens
  int out_size, in_size;
  StreamEpilogue epilogue;
  bool bias = false;
  std::vector<int> expert_rows = {};  // rows of each expert; empty: one matrix
  int slots_per_row = 1;
  bool halves = false;
};

template <class T>
struct Problem {
  explicit Problem(const Case& test, uint32_t seed) : c(test) {
    offsets = {0};
    for (const int n : c.expert_rows) offsets.push_back(offsets.back() + n);
    experts = c.expert_rows.empty() ? 1 : static_cast<int>(c.expert_rows.size());
    out_rows = c.expert_rows.empty() ? c.rows : offsets.back();
    x = normal_values<T>(static_cast<size_t>(c.rows) * c.in_size, 1.0f, seed);
    w = normal_values<T>(static_cast<size_t>(experts) * c.out_size * c.in_size, 0.05f, seed + 1);
    bias = normal_values<float>(static_cast<size_t>(c.out_size), 1.0f, seed + 2);
    std::mt19937 generator(seed + 3);
    for (int p = 0; p < out_rows; ++p) {
      slots.push_back(static_cast<int>(generator() % (c.rows * c.slots_per_row)));
    }
    out_size = c.epilogue == StreamEpilogue::kSwiglu ? c.out_size / 2 : c.out_size;
    start = normal_values<float>(static_cast<size_t>(out_rows) * out_size, 1.0f, seed + 4);
  }

  bool wide() const {
    return c.epilogue == StreamEpilogue::kStoreF32 || c.epilogue == StreamEpilogue::kAddF32;
  }
  double product(int expert, int row, int column) const {
    double sum = 0.0;
    const T* a = x.data() + static_cast<size_t>(row) * c.in_size;
    const T* b = w.data() + (static_cast<size_t>(expert) * c.out_size + column) * c.in_size;
    for (int k = 0; k < c.in_size; ++k) sum += static_cast<double>(float(a[k])) * float(b[k]);
    return sum;
  }
  double wanted(int p, int expert, int column) const {
    const int row = c.expert_rows.empty() ? p : slots[static_cast<size_t>(p)] / c.slots_per_row;
    switch (c.epilogue) {
      case StreamEpilogue::kSwiglu: {
        const int first = c.halves ? column : column / 8 * 16 + column % 8;
        const double gate = product(expert, row, first);
        const int up = first + (c.halves ? c.out_size / 2 : 8);
        return gate / (1.0 + std::exp(-gate)) * product(expert, row, up);
      }
      case StreamEpilogue::kAddF32:
        return start[static_cast<size_t>(p) * out_size + column] + product(expert, row, column);
      default:
        return product(expert, row, column) + (c.bias ? bias[static_cast<size_t>(column)] : 0.0f);
    }
  }

  // Runs it and returns out as F32.
  std::vector<float> run() const {
    const DeviceArray<T> x_dev(x), w_dev(w);
    const DeviceArray<float> bias_dev(bias);
    const DeviceArray<int32_t> offsets_dev(offsets), slots_dev(slots.empty() ? offsets : slots);
    const size_t size = static_cast<size_t>(out_rows) * out_size;
    const DeviceArray<float> out_f32(std::max<size_t>(size, 1));
    const DeviceArray<T> out_t(std::max<size_t>(size, 1));
    poison(out_f32);
    poison(out_t);
    if (c.epilogue == StreamEpilogue::kAddF32 && size > 0) {
      GLMOE_CUDA(cudaMemcpy(out_f32.data(), start.data(), size * 4, cudaMemcpyHostToDevice));
    }
    StreamGemmParams p;
    p.x = x_dev.data();
    p.w = w_dev.data();
    p.out = wide() ? static_cast<void*>(out_f32.data()) : out_t.data();
    p.bias = c.bias ? bias_dev.data() : nullptr;
    p.type = kTypeOf<T>;
    p.epilogue = c.epilogue;
    p.gate_up_halves = c.halves;
    p.num_rows = out_rows;
    p.out_size = c.out_size;
    p.in_size = c.in_size;
    p.x_stride = c.in_size;
    p.out_stride = out_size;
    if (!c.expert_rows.empty()) {
      p.num_experts = experts;
      p.expert_offsets = offsets_dev.data();
      p.source_slots = slots_dev.data();
      p.slots_per_row = c.slots_per_row;
    }
    launch_stream_gemm(p, kNumSms, nullptr);
    if (wide()) return out_f32.download();
    std::vector<float> values;
    for (const T value : out_t.download()) values.push_back(float(value));
    return values;
  }

  Case c;
  std::vector<int32_t> offsets, slots;
  int experts, out_rows, out_size;
  std::vector<T> x, w;
  std::vector<float> bias, start;
};

template <class T>
void check(const Case& c, uint32_t seed) {
  const double experts = std::max<double>(1, static_cast<double>(c.expert_rows.size()));
  if (cuda_test::leaves_out(experts * c.out_size * c.in_size)) return;
  const Problem<T> problem(c, seed);
  const std::vector<float> got = problem.run();
  // F32 sums of K products of deviation 0.05; a result in 16 bits is rounded once more.
  const double sum_error = 1e-6 * std::sqrt(c.in_size);
  const double unit = problem.wide() ? 1e-6 : (std::is_same_v<T, __half> ? 1e-3 : 8e-3);
  int wrong = 0;
  for (int p = 0; p < problem.out_rows; ++p) {
    int expert = 0;
    if (!c.expert_rows.empty()) {
      while (problem.offsets[static_cast<size_t>(expert) + 1] <= p) ++expert;
    }
    for (int n = 0; n < problem.out_size; ++n) {
      const double want = problem.wanted(p, expert, n);
      const double found = got[static_cast<size_t>(p) * problem.out_size + n];
      if (std::abs(found - want) <= sum_error + unit * std::abs(want)) continue;
      if (++wrong == 1) {
        expect(false, std::string(c.name) + ": row " + std::to_string(p) + " column " +
                          std::to_string(n) + ": wanted " + std::to_string(want) + ", got " +
                          std::to_string(found));
      }
    }
  }
  expect(wrong == 0, std::string(c.name) + ": " + std::to_string(wrong) + " of " +
                         std::to_string(problem.out_rows * problem.out_size) + " values are wrong");
}

std::vector<Case> cases() {
  using E = StreamEpilogue;
  std::vector<Case> all = {
      {"one row", 1, 64, 256, E::kStore},
      {"one row with bias", 1, 1024, 4096, E::kStore, true},
      {"rows that end inside a tile", 1, 100, 192, E::kStoreF32, true},
      {"less than a chunk a warp", 1, 48, 64, E::kStoreF32},
      {"many units a block", 1, 9000, 512, E::kStoreF32},
      {"stages that end early", 3, 256, 1408, E::kStoreF32},
      {"long rows", 2, 160, 12288, E::kAddF32},
      {"odd stages", 5, 64, 10944, E::kAddF32},
      {"8 rows", 8, 512, 1024, E::kStore},
      {"9 rows", 9, 512, 1024, E::kStore, true},
      {"16 rows", 16, 528, 1024, E::kStoreF32},
      {"17 rows", 17, 272, 640, E::kStoreF32},
      {"32 rows", 32, 272, 640, E::kAddF32},
      {"70 rows", 70, 100, 320, E::kStoreF32, true},
      {"swiglu of one row", 1, 2816, 4096, E::kSwiglu},
      {"swiglu of 13 rows", 13, 96, 1024, E::kSwiglu},
      {"experts, one token each", 1, 96, 512, E::kSwiglu, false, {1, 0, 1, 0, 0, 1, 1}, 4},
      {"experts, few tokens", 6, 160, 704, E::kStoreF32, false, {0, 3, 9, 0, 1, 11, 0}, 4},
      {"experts, many tokens", 40, 112, 512, E::kStoreF32, false, {33, 0, 70, 17}, 3},
      {"experts, all to the last", 9, 64, 256, E::kSwiglu, false, {0, 0, 0, 0, 0, 27}, 3},
      {"experts without a token", 4, 64, 256, E::kStoreF32, false, {0, 0, 0}, 2},
  };
  Case wide{"161 experts", 24, 64, 1536, E::kSwiglu};
  wide.slots_per_row = 9;
  for (int e = 0; e < 161; ++e) wide.expert_rows.push_back(e % 3 == 0 ? e % 7 : 0);
  all.push_back(wide);
  // Gate and up as checkpoints have them: the same kernels on another map of the weights.
  const size_t by_eight = all.size();
  for (size_t i = 0; i < by_eight; ++i) {
    if (all[i].epilogue != E::kSwiglu) continue;
    all.push_back(all[i]);
    all.back().halves = true;
  }
  all.push_back({"halves that end inside a unit", 3, 48, 512, E::kSwiglu});
  all.back().halves = true;
  all.push_back({"the last expert's halves", 5, 80, 320, E::kSwiglu, false, {0, 2, 0, 9}, 3, true});
  return all;
}

CUDA_TEST(StreamGemmEqualsTheDefinitionInBfloat16) {
  uint32_t seed = 1;
  for (const Case& c : cases()) check<__nv_bfloat16>(c, seed += 10);
}

CUDA_TEST(StreamGemmEqualsTheDefinitionInFloat16) {
  uint32_t seed = 1000;
  for (const Case& c : cases()) check<__half>(c, seed += 10);
}

CUDA_TEST(StreamGemmGivesARowTheSameBitsAmongOtherRows) {
  const Case many{"many", 32, 400, 1408, StreamEpilogue::kStoreF32};
  const Problem<__nv_bfloat16> problem(many, 5);
  const std::vector<float> all = problem.run();
  for (const int rows : {1, 2, 8, 9, 16, 31}) {  // every way to divide the work
    Case few = many;
    few.rows = rows;
    Problem<__nv_bfloat16> part(few, 5);
    part.x.assign(problem.x.begin(), problem.x.begin() + rows * many.in_size);
    part.w = problem.w;
    const std::vector<float> got = part.run();
    bool same = true;
    for (size_t i = 0; i < got.size(); ++i) same = same && got[i] == all[i];
    expect(same, std::to_string(rows) + " rows differ from the same rows among 32");
  }
}

CUDA_TEST(StreamGemmRefusesWhatItCannotDo) {
  StreamGemmParams p;
  p.num_rows = 1;
  p.out_size = 16;
  p.in_size = 40;
  p.x_stride = 40;
  expect_refused([&] { launch_stream_gemm(p, kNumSms, nullptr); }, "in_size is 40");
  p.in_size = p.x_stride = 64;
  p.type = ElementType::kF32;
  expect_refused([&] { launch_stream_gemm(p, kNumSms, nullptr); }, "float32");
  p.type = ElementType::kBf16;
  p.epilogue = StreamEpilogue::kSwiglu;
  p.out_size = 24;
  expect_refused([&] { launch_stream_gemm(p, kNumSms, nullptr); }, "out_size is 24");
  p.out_size = 32;
  p.gate_up_halves = true;
  p.epilogue = StreamEpilogue::kStore;
  expect_refused([&] { launch_stream_gemm(p, kNumSms, nullptr); }, "gate_up_halves");
  p.gate_up_halves = false;
  p.num_experts = 2;
  expect_refused([&] { launch_stream_gemm(p, kNumSms, nullptr); }, "num_experts");
}

}  // namespace
}  // namespace glmoe::cuda
