// Mirrors: src/kernels/cuda/attention/attention_prefill.cu,
// src/kernels/cuda/attention/attention_prefill_wgmma.cu,
// src/kernels/cuda/attention/prefill_block.cuh
#include "kernels/cuda/attention/attention_prefill.h"

#include "attention/attention_problem.h"
#include "harness.h"

namespace glmoe::cuda {
namespace {

using cuda_test::AttentionCase;
using cuda_test::AttentionProblem;
using cuda_test::DeviceProblem;
using cuda_test::expect;
using cuda_test::expect_refused;
using cuda_test::same_bits;
using cuda_test::Sequence;

using Bf16 = __nv_bfloat16;

constexpr AttentionHeads kAir{96, 8, 128};
constexpr AttentionHeads kDemo{4, 2, 128};

template <class T>
struct PrefillRun {
  PrefillRun(const AttentionCase& c, uint32_t seed) : host(c, seed), device(host) {
    device.fill(host, params);
    params.row_begin = device.row_begin.data();
    params.num_rows = device.row_counts.data();
    params.max_num_rows = 1;
    for (const Sequence& s : c.sequences) {
      params.max_num_rows = std::max(params.max_num_rows, s.num_rows);
    }
  }
  std::vector<T> run() {
    cuda_test::poison(device.out);
    launch_attention_prefill(params, nullptr);
    return device.out.download();
  }
  AttentionProblem<T> host;
  DeviceProblem<T> device;
  AttentionPrefillParams params;
};

// Chunks of 1, 17, 64 and 300 rows on prefixes of 0, 1, 63, 64 and 1000 positions.
std::vector<Sequence> chunks_on_prefixes() {
  std::vector<Sequence> sequences;
  for (const int prefix : {0, 1, 63, 64, 1000}) {
    for (const int rows : {1, 17, 64, 300}) sequences.push_back({rows, prefix + rows});
  }
  sequences.insert(sequences.begin() + 5, {0, 0});
  return sequences;
}

std::vector<AttentionCase> cases() {
  std::vector<Sequence> many;
  for (int i = 0; i < 512; ++i) many.push_back({i % 10, i % 10 == 0 ? 0 : i % 10 + i * 7 % 300});
  return {
      {kDemo, 16, many, 2.0f},
      {kAir, 64, {{1, 1}}},
      {kAir, 16, {{64, 64}}},
      {kAir, 16, {{65, 65}}, 3.0f},
      {kAir, 64, {{300, 1300}}},
      {kAir, 64, chunks_on_prefixes()},
      {kAir, 16, chunks_on_prefixes(), 2.0f},
      {{12, 1, 128}, 128, {{1500, 1500}, {0, 0}, {3, 2900}}, 2.0f},
      {{12, 1, 128}, 32, {{2000, 2111}, {1, 64}, {63, 63}}},
      {kDemo, 16, chunks_on_prefixes()},
      {kDemo, 64, {{700, 700}, {5, 4000}, {0, 0}, {129, 4095}}, 3.0f},
      {{24, 1, 128}, 64, {{100, 333}, {1, 5}}},
      {{3, 3, 128}, 16, {{130, 200}}},
  };
}

template <class T>
void check_all_cases() {
  uint32_t seed = 1;
  for (const AttentionCase& c : cases()) {
    if (cuda_test::leaves_out(c.numbers())) continue;
    PrefillRun<T> run(c, seed += 10);
    run.host.compare(run.run(), "prefill");
  }
}

CUDA_TEST(PrefillInBf16AgreesWithDouble) { check_all_cases<Bf16>(); }
CUDA_TEST(PrefillInF16AgreesWithDouble) { check_all_cases<__half>(); }

CUDA_TEST(ARowIsPrefilledToTheSameBitsInAnyChunking) {
  for (const AttentionHeads& heads : {kAir, kDemo}) {
    constexpr int kRows = 400, kPrefix = 70;
    PrefillRun<Bf16> run({heads, 16, {{kRows, kPrefix + kRows}}}, 5);
    const std::vector<Bf16> together = run.run();
    cuda_test::poison(run.device.out);
    int done = 0;
    for (const int rows : {1, 17, 64, 100, 63, 155}) {
      run.device.row_begin.upload({run.host.row_begin[0] + done});
      run.device.row_counts.upload({rows});
      run.device.kv_lens.upload({kPrefix + done + rows});
      run.params.max_num_rows = rows;
      launch_attention_prefill(run.params, nullptr);
      GLMOE_CUDA(cudaDeviceSynchronize());
      done += rows;
    }
    expect(done == kRows, "the chunks are not the whole");
    expect(same_bits(together, run.device.out.download()), "results differ");
  }
}

CUDA_TEST(ASequenceIsPrefilledToTheSameBitsAloneAndAmongOthers) {
  PrefillRun<Bf16> run({kAir, 64, chunks_on_prefixes()}, 7);
  const std::vector<Bf16> together = run.run();
  cuda_test::poison(run.device.out);
  for (size_t s = 0; s < run.host.shape.sequences.size(); ++s) {
    AttentionPrefillParams one = run.params;
    one.row_begin += s;
    one.num_rows += s;
    one.kv_len += s;
    one.block_tables += static_cast<int64_t>(s) * one.block_table_stride;
    one.num_sequences = 1;
    one.max_num_rows = std::max(run.host.shape.sequences[s].num_rows, 1);
    launch_attention_prefill(one, nullptr);
  }
  expect(same_bits(together, run.device.out.download()), "results differ");
}

CUDA_TEST(PrefillOfNoSequencesIsNoWork) { launch_attention_prefill({}, nullptr); }

CUDA_TEST(WrongPrefillParametersAreRefusedByName) {
  const PrefillRun<Bf16> run({kDemo, 16, {{20, 20}}}, 9);
  const auto refused = [&](auto change, const char* part) {
    AttentionPrefillParams params = run.params;
    change(params);
    expect_refused([&] { launch_attention_prefill(params, nullptr); }, part);
  };
  using Params = AttentionPrefillParams;
  refused([](Params& p) { p.heads.head_dim = 256; }, "head_dim is 256");
  refused([](Params& p) { p.heads.num_heads = 66; }, "num_heads is 66");
  refused([](Params& p) { p.type = ElementType::kF32; }, "type is float32");
  refused([](Params& p) { p.kv.tokens_per_block = 8; }, "tokens_per_block is 8");
  refused([](Params& p) { p.kv.blocks = nullptr; }, "kv.blocks is null");
  refused([](Params& p) { p.num_sequences = 513; }, "num_sequences is 513");
  refused([](Params& p) { p.max_num_rows = 0; }, "max_num_rows is 0");
  refused([](Params& p) { p.max_num_rows = 2000000; }, "max_num_rows is 2000000");
  refused([](Params& p) { p.block_table_stride = 0; }, "block_table_stride is 0");
  refused([](Params& p) { p.qkv = nullptr; }, "qkv is null");
  refused([](Params& p) { p.out = static_cast<char*>(p.out) + 8; }, "out is not aligned");
  refused([](Params& p) { p.row_begin = nullptr; }, "row_begin is null");
  refused([](Params& p) { p.num_rows = nullptr; }, "num_rows is null");
  refused([](Params& p) { p.kv_len = nullptr; }, "kv_len is null");
}

}  // namespace
}  // namespace glmoe::cuda
