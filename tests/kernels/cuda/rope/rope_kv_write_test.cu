#include "kernels/cuda/rope/rope_kv_write.h"

#include "attention/attention_problem.h"
#include "harness.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::kHalfStep;
using cuda_test::kTypeOf;
using cuda_test::narrow;
using cuda_test::same_bits;
using cuda_test::widen;

using Bf16 = __nv_bfloat16;

struct Case {
  int num_rows;
  AttentionHeads heads;
  int rotary_dim;
  int tokens_per_block;
  bool q_norm, k_norm;
};

// Air and its larger sister, the demo; every way to rotate and to norm; rows below and above the
// number from which a block takes whole rows.
constexpr Case kCases[] = {
    {1, {96, 8, 128}, 64, 64, false, false},   {5, {96, 8, 128}, 64, 16, true, true},
    {600, {96, 8, 128}, 64, 64, false, false}, {513, {96, 8, 128}, 64, 16, true, true},
    {64, {4, 2, 128}, 64, 16, true, true},     {9, {4, 2, 128}, 128, 32, false, true},
    {7, {5, 5, 128}, 16, 128, true, false},    {3, {3, 1, 128}, 48, 64, false, false},
    {530, {3, 1, 128}, 112, 64, true, true},
};
constexpr float kEps = 1e-5f;
constexpr int kMaxPositions = 300;

template <class T>
struct Problem {
  // `wide`: the input is F32 and has a bias.
  Problem(const Case& c, uint32_t seed, bool wide = false) : shape(c), generator(seed) {
    std::normal_distribution<float> normal;
    const auto rows = static_cast<size_t>(c.num_rows);
    qkv.resize(rows * static_cast<size_t>(c.heads.qkv_width()));
    for (T& value : qkv) value = narrow<T>(2.0f * normal(generator));
    if (wide) {
      wide_qkv.resize(qkv.size());
      for (float& value : wide_qkv) value = 2.0f * normal(generator);
      bias.resize(static_cast<size_t>(c.heads.qkv_width()));
      for (float& value : bias) value = 0.7f * normal(generator);
    }
    q_norm.resize(static_cast<size_t>(c.heads.head_dim));
    k_norm.resize(q_norm.size());
    for (float& value : q_norm) value = 1.0f + 0.3f * normal(generator);
    for (float& value : k_norm) value = 1.0f + 0.3f * normal(generator);
    fill_table();
    place_rows();
    upload();
  }

  void fill_table() {
    const int half = shape.rotary_dim / 2;
    table.resize(static_cast<size_t>(kMaxPositions * shape.rotary_dim));
    for (int p = 0; p < kMaxPositions; ++p) {
      for (int i = 0; i < half; ++i) {
        const double angle = p * std::pow(10000.0, -2.0 * i / shape.rotary_dim);
        const auto at = static_cast<size_t>(p * shape.rotary_dim + i);
        table[at] = static_cast<float>(std::cos(angle));
        table[at + static_cast<size_t>(half)] = static_cast<float>(std::sin(angle));
      }
    }
  }
  // Slots in random order; every seventh row but the first is padding.
  void place_rows() {
    num_blocks = shape.num_rows / shape.tokens_per_block + 2;
    std::vector<int32_t> free_slots(static_cast<size_t>(num_blocks * shape.tokens_per_block));
    std::iota(free_slots.begin(), free_slots.end(), 0);
    std::shuffle(free_slots.begin(), free_slots.end(), generator);
    for (int row = 0; row < shape.num_rows; ++row) {
      positions.push_back(static_cast<int32_t>(generator() % kMaxPositions));
      slots.push_back(row % 7 == 6 ? -1 : free_slots[static_cast<size_t>(row)]);
      if (row % 7 == 6) positions.back() = 1 << 30;  // not to be read
    }
  }
  void upload() {
    const size_t cache_size = static_cast<size_t>(num_blocks * 2 * shape.heads.num_kv_heads) *
                              static_cast<size_t>(shape.tokens_per_block * shape.heads.head_dim);
    qkv_dev.emplace_back(std::make_unique<DeviceArray<T>>(qkv));
    qkv_dev.emplace_back(std::make_unique<DeviceArray<T>>(cache_size));
    cuda_test::poison(*qkv_dev[1]);
    params.qkv = qkv_dev[0]->data();
    params.type = kTypeOf<T>;
    params.heads = shape.heads;
    if (!wide_qkv.empty()) {
      wide_dev = std::make_unique<DeviceArray<float>>(wide_qkv);
      bias_dev = std::make_unique<DeviceArray<float>>(bias);
      params.wide_qkv = wide_dev->data();
      params.bias = bias_dev->data();
    }
    if (shape.q_norm) params.q_norm = q_norm_dev.data();
    if (shape.k_norm) params.k_norm = k_norm_dev.data();
    q_norm_dev.upload(q_norm);
    k_norm_dev.upload(k_norm);
    table_dev = std::make_unique<DeviceArray<float>>(table);
    positions_dev = std::make_unique<DeviceArray<int32_t>>(positions);
    slots_dev = std::make_unique<DeviceArray<int32_t>>(slots);
    params.eps = kEps;
    params.rope_table = table_dev->data();
    params.rotary_dim = shape.rotary_dim;
    params.positions = positions_dev->data();
    params.slots = slots_dev->data();
    params.kv = {qkv_dev[1]->data(), num_blocks, shape.tokens_per_block};
    params.num_rows = shape.num_rows;
  }

  // Head `head` of a row (q, then k, then v) after norm and rotation.
  std::vector<double> expected(int row, int head) const {
    const auto dim = static_cast<size_t>(shape.heads.head_dim);
    const size_t at = static_cast<size_t>(row) * static_cast<size_t>(shape.heads.qkv_width()) +
                      static_cast<size_t>(head) * dim;
    std::vector<double> values(dim);
    double squares = 0.0;
    for (size_t d = 0; d < dim; ++d) {
      values[d] = wide_qkv.empty()
                      ? widen(qkv[at + d])
                      : static_cast<double>(wide_qkv[at + d]) +
                            static_cast<double>(bias[static_cast<size_t>(head) * dim + d]);
      squares += values[d] * values[d];
    }
    const bool is_q = head < shape.heads.num_heads;
    const bool is_k = !is_q && head < shape.heads.num_heads + shape.heads.num_kv_heads;
    if ((is_q && shape.q_norm) || (is_k && shape.k_norm)) {
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(dim) + kEps);
      for (size_t d = 0; d < dim; ++d) {
        values[d] *= scale * static_cast<double>(is_q ? q_norm[d] : k_norm[d]);
      }
    }
    const auto half = static_cast<size_t>(shape.rotary_dim / 2);
    for (size_t i = 0; (is_q || is_k) && i < half; ++i) {
      const size_t entry = static_cast<size_t>(positions[static_cast<size_t>(row)]) * 2 * half + i;
      const double c = table[entry], s = table[entry + half];
      const double a = values[i], b = values[i + half];
      values[i] = a * c - b * s;
      values[i + half] = b * c + a * s;
    }
    return values;
  }
  size_t cache_at(int row, int head) const {  // head counts from k's first
    const int32_t slot = slots[static_cast<size_t>(row)];
    const int page = shape.tokens_per_block;
    const int block = slot / page;
    return static_cast<size_t>((block * 2 * shape.heads.num_kv_heads + head) * page + slot % page) *
           static_cast<size_t>(shape.heads.head_dim);
  }

  Case shape;
  std::mt19937 generator;
  std::vector<T> qkv;
  std::vector<float> wide_qkv, bias, q_norm, k_norm, table;
  std::vector<int32_t> positions, slots;
  int num_blocks = 0;
  std::vector<std::unique_ptr<DeviceArray<T>>> qkv_dev;  // and the cache
  DeviceArray<float> q_norm_dev{128}, k_norm_dev{128};
  std::unique_ptr<DeviceArray<float>> table_dev, wide_dev, bias_dev;
  std::unique_ptr<DeviceArray<int32_t>> positions_dev, slots_dev;
  RopeKvWriteParams params;
};

std::string describe(const Case& c, int row, int head) {
  return std::to_string(c.num_rows) + " rows, Hq " + std::to_string(c.heads.num_heads) + " R " +
         std::to_string(c.rotary_dim) + ": row " + std::to_string(row) + " head " +
         std::to_string(head);
}

// Values that the kernel wrote: `found` from `at` on against `wanted`. One rounding to T beyond
// F32's error, which is relative to the pair's larger value.
template <class T>
void check_head(const std::vector<T>& found, size_t at, const std::vector<double>& wanted,
                const std::string& what) {
  double largest = 0.0;
  for (const double value : wanted) largest = std::max(largest, std::abs(value));
  for (size_t d = 0; d < wanted.size(); ++d) {
    const double value = widen(found[at + d]);
    if (std::abs(value - wanted[d]) <= kHalfStep<T> * std::abs(wanted[d]) + 3e-6 * largest)
      continue;
    expect(false, what + " column " + std::to_string(d) + ": wanted " + std::to_string(wanted[d]) +
                      ", got " + std::to_string(value));
    return;
  }
}

template <class T>
void check_against_double(const Case& c, uint32_t seed, bool wide) {
  Problem<T> problem(c, seed, wide);
  launch_rope_kv_write(problem.params, nullptr);
  const std::vector<T> qkv = problem.qkv_dev[0]->download();
  const std::vector<T> cache = problem.qkv_dev[1]->download();
  const auto dim = static_cast<size_t>(c.heads.head_dim);
  std::vector<T> wanted_qkv = problem.qkv;
  std::vector<bool> written(cache.size() / dim, false);
  for (int row = 0; row < c.num_rows; ++row) {
    if (problem.slots[static_cast<size_t>(row)] < 0) continue;
    for (int head = 0; head < c.heads.num_heads + 2 * c.heads.num_kv_heads; ++head) {
      const std::vector<double> wanted = problem.expected(row, head);
      const size_t in_qkv = static_cast<size_t>(row) * static_cast<size_t>(c.heads.qkv_width()) +
                            static_cast<size_t>(head) * dim;
      if (head < c.heads.num_heads) {
        check_head(qkv, in_qkv, wanted, describe(c, row, head));
        // Checked: the rest of qkv must be as it was.
        for (size_t d = 0; d < dim; ++d) wanted_qkv[in_qkv + d] = qkv[in_qkv + d];
      } else {
        const size_t at = problem.cache_at(row, head - c.heads.num_heads);
        check_head(cache, at, wanted, describe(c, row, head) + " (cache)");
        written[at / dim] = true;
      }
    }
  }
  expect(same_bits(wanted_qkv, qkv), "padding rows, or k and v in qkv, have changed");
  for (size_t i = 0; i < cache.size(); ++i) {
    uint16_t bits;
    std::memcpy(&bits, &cache[i], sizeof(bits));
    if (written[i / dim] || bits == 0xffff) continue;
    expect(false, "a slot of no row was written, element " + std::to_string(i));
    break;
  }
}

template <class T>
void check_all_cases(bool wide) {
  uint32_t seed = 1;
  for (const Case& c : kCases) {
    seed += 10;
    if (cuda_test::leaves_out(static_cast<double>(c.num_rows) * c.heads.qkv_width())) continue;
    check_against_double<T>(c, seed, wide);
  }
}

CUDA_TEST(RopeInBf16AgreesWithDouble) { check_all_cases<Bf16>(false); }
CUDA_TEST(RopeInF16AgreesWithDouble) { check_all_cases<__half>(false); }
CUDA_TEST(RopeFromF32ToBf16AgreesWithDouble) { check_all_cases<Bf16>(true); }
CUDA_TEST(RopeFromF32ToF16AgreesWithDouble) { check_all_cases<__half>(true); }

void check_rows_alone(bool wide) {
  const Case c{520, {12, 1, 128}, 64, 16, true, true};
  Problem<Bf16> together(c, 3, wide), apart(c, 3, wide);
  launch_rope_kv_write(together.params, nullptr);
  for (int row = 0; row < c.num_rows; ++row) {
    RopeKvWriteParams one = apart.params;
    one.qkv = static_cast<Bf16*>(one.qkv) + static_cast<int64_t>(row) * c.heads.qkv_width();
    if (wide) one.wide_qkv += static_cast<int64_t>(row) * c.heads.qkv_width();
    one.positions += row;
    one.slots += row;
    one.num_rows = 1;
    launch_rope_kv_write(one, nullptr);
  }
  expect(same_bits(together.qkv_dev[0]->download(), apart.qkv_dev[0]->download()), "q differs");
  expect(same_bits(together.qkv_dev[1]->download(), apart.qkv_dev[1]->download()),
         "the cache differs");
}

CUDA_TEST(RowsAreRotatedToTheSameBitsAloneAndAmongOthers) {
  check_rows_alone(false);
  check_rows_alone(true);
}

CUDA_TEST(RopeOfNoRowsIsNoWork) { launch_rope_kv_write({}, nullptr); }

CUDA_TEST(WrongRopeParametersAreRefusedByName) {
  const Problem<Bf16> problem(kCases[1], 5);
  const auto refused = [&](auto change, const char* part) {
    RopeKvWriteParams params = problem.params;
    change(params);
    expect_refused([&] { launch_rope_kv_write(params, nullptr); }, part);
  };
  using Params = RopeKvWriteParams;
  refused([](Params& p) { p.num_rows = -1; }, "num_rows is -1");
  refused([](Params& p) { p.rotary_dim = 24; }, "rotary_dim is 24");
  refused([](Params& p) { p.rotary_dim = 144; }, "rotary_dim is 144");
  refused([](Params& p) { p.rotary_dim = 0; }, "rotary_dim is 0");
  refused([](Params& p) { p.eps = NAN; }, "eps");
  refused([](Params& p) { p.qkv = nullptr; }, "qkv is null");
  refused([](Params& p) { p.rope_table = nullptr; }, "rope_table is null");
  refused([](Params& p) { p.positions = nullptr; }, "positions is null");
  refused([](Params& p) { p.slots = nullptr; }, "slots is null");
  refused([](Params& p) { ++p.q_norm; }, "q_norm is not aligned");
  refused([](Params& p) { p.type = ElementType::kF32; }, "type is float32");
  refused([](Params& p) { p.bias = p.q_norm; }, "bias is given without wide_qkv");
  refused([](Params& p) { p.wide_qkv = p.q_norm + 1; }, "wide_qkv is not aligned");
  refused([](Params& p) { p.heads.head_dim = 64; }, "head_dim is 64");
  refused([](Params& p) { p.kv.tokens_per_block = 48; }, "tokens_per_block is 48");
}

}  // namespace
}  // namespace glmoe::cuda
