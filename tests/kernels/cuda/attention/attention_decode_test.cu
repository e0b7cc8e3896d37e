// Mirrors: src/kernels/cuda/attention/attention_decode.cu,
// src/kernels/cuda/attention/decode_work.cuh, src/kernels/cuda/attention/kv_tiles.cuh
#include "kernels/cuda/attention/attention_decode.h"

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

int num_sms() {
  int count = 0;
  GLMOE_CUDA(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
  return count;
}

// Zeroed once, as its contract says, and then used by call after call.
struct Workspace {
  explicit Workspace(const AttentionHeads& heads)
      : memory(attention_decode_workspace_bytes(heads, num_sms())) {
    GLMOE_CUDA(cudaMemset(memory.data(), 0, memory.num_bytes()));
  }
  DeviceArray<unsigned char> memory;
};

template <class T>
struct DecodeRun {
  DecodeRun(const AttentionCase& c, uint32_t seed) : host(c, seed), device(host), space(c.heads) {
    device.fill(host, params);
    params.row = device.row_begin.data();
    params.workspace = space.memory.data();
    params.workspace_bytes = space.memory.num_bytes();
  }
  std::vector<T> run() {
    cuda_test::poison(device.out);
    launch_attention_decode(params, nullptr);
    return device.out.download();
  }
  AttentionProblem<T> host;
  DeviceProblem<T> device;
  Workspace space;
  AttentionDecodeParams params;
};

std::vector<Sequence> contexts(const std::vector<int>& lengths) {
  std::vector<Sequence> sequences;
  for (const int length : lengths) sequences.push_back({1, length});
  return sequences;
}

// Contexts around a tile and a split, one and many, with padding between; every block size; groups
// that fill a tile of 16 rows in part, wholly, and more than one; sharp and flat softmax.
std::vector<AttentionCase> cases() {
  std::vector<int> many;
  for (int i = 0; i < 150; ++i) many.push_back(i % 7 == 3 ? 0 : 1 + i * 37 % 700);
  return {
      {kAir, 64, contexts({1})},
      {kAir, 64, contexts({63})},
      {kAir, 16, contexts({64})},
      {kAir, 16, contexts({65})},
      {kAir, 64, contexts({129}), 3.0f},
      {kAir, 32, contexts({4095})},
      {kAir, 16, contexts({4096, 0, 1, 4097}), 2.0f},
      {kAir, 64, contexts({32768})},
      {kAir, 128, contexts({0, 0, 5000, 64, 128, 0, 1, 777, 0}), 2.0f},
      {kAir, 64, contexts({20000, 3, 900, 17, 1, 1, 0, 2500})},
      {kAir, 16, contexts(many)},
      {kDemo, 16, contexts({1, 63, 64, 65, 0, 1000, 4095})},
      {kDemo, 64, contexts(many), 3.0f},
      {{16, 1, 128}, 64, contexts({3000, 31})},
      {{24, 1, 128}, 32, contexts({3000, 31, 0, 500}), 2.0f},
      {{40, 2, 128}, 64, contexts({1025, 7})},
      {{5, 5, 128}, 16, contexts({260, 1})},
  };
}

template <class T>
void check_all_cases() {
  uint32_t seed = 1;
  for (const AttentionCase& c : cases()) {
    if (cuda_test::leaves_out(c.numbers())) continue;
    DecodeRun<T> run(c, seed += 10);
    run.host.compare(run.run(), "decode");
  }
}

CUDA_TEST(DecodeInBf16AgreesWithDouble) { check_all_cases<Bf16>(); }
CUDA_TEST(DecodeInF16AgreesWithDouble) { check_all_cases<__half>(); }

CUDA_TEST(DecodeRepeatedOnOneWorkspaceGivesTheSameBits) {
  DecodeRun<Bf16> run({kAir, 64, contexts({5000, 300, 0, 1})}, 3);
  const std::vector<Bf16> first = run.run();
  const int calls = cuda_test::leaves_out(20 * run.host.shape.numbers()) ? 3 : 20;
  for (int i = 0; i < calls; ++i) expect(same_bits(first, run.run()), "call " + std::to_string(i));
}

CUDA_TEST(ASequenceDecodesToTheSameBitsAloneAndAmongOthers) {
  for (const AttentionHeads& heads : {kAir, kDemo}) {
    DecodeRun<Bf16> run({heads, 16, contexts({2000, 130, 64, 1, 9000, 777, 350, 128})}, 5);
    const std::vector<Bf16> together = run.run();
    cuda_test::poison(run.device.out);
    for (size_t s = 0; s < run.host.shape.sequences.size(); ++s) {
      AttentionDecodeParams one = run.params;
      one.row += s;
      one.kv_len += s;
      one.block_tables += static_cast<int64_t>(s) * one.block_table_stride;
      one.num_sequences = 1;
      launch_attention_decode(one, nullptr);
    }
    expect(same_bits(together, run.device.out.download()), "results differ");
  }
}

CUDA_TEST(AGraphOfDecodeServesOtherContexts) {
  DecodeRun<Bf16> run({kAir, 64, contexts({4000, 700, 64, 2000})}, 7);
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  GLMOE_CUDA(cudaStreamCreate(&stream));
  GLMOE_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  launch_attention_decode(run.params, stream);
  GLMOE_CUDA(cudaStreamEndCapture(stream, &graph));
  GLMOE_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (const std::vector<int>& lengths :
       {std::vector<int>{4000, 700, 64, 2000}, {1, 700, 0, 1999}, {3999, 0, 0, 0}, {0, 0, 0, 0}}) {
    AttentionProblem<Bf16> host = run.host;
    for (size_t s = 0; s < lengths.size(); ++s) {
      host.shape.sequences[s].kv_len = host.kv_lens[s] = lengths[s];
    }
    run.device.kv_lens.upload(host.kv_lens);
    cuda_test::poison(run.device.out);
    GLMOE_CUDA(cudaDeviceSynchronize());
    GLMOE_CUDA(cudaGraphLaunch(exec, stream));
    host.compare(run.device.out.download(), "graph");
  }
  GLMOE_CUDA(cudaGraphExecDestroy(exec));
  GLMOE_CUDA(cudaGraphDestroy(graph));
  GLMOE_CUDA(cudaStreamDestroy(stream));
}

CUDA_TEST(DecodeOfNoSequencesIsNoWork) { launch_attention_decode({}, nullptr); }

CUDA_TEST(WrongDecodeParametersAreRefusedByName) {
  const DecodeRun<Bf16> run({kDemo, 16, contexts({20})}, 9);
  const auto refused = [&](auto change, const char* part) {
    AttentionDecodeParams params = run.params;
    change(params);
    expect_refused([&] { launch_attention_decode(params, nullptr); }, part);
  };
  using Params = AttentionDecodeParams;
  refused([](Params& p) { p.heads.head_dim = 64; }, "head_dim is 64");
  refused([](Params& p) { p.heads.num_heads = 5; }, "num_heads is 5");
  refused([](Params& p) { p.heads.num_kv_heads = 0; }, "num_kv_heads 0");
  refused([](Params& p) { p.type = ElementType::kF32; }, "type is float32");
  refused([](Params& p) { p.kv.tokens_per_block = 24; }, "tokens_per_block is 24");
  refused([](Params& p) { p.kv.tokens_per_block = 256; }, "tokens_per_block is 256");
  refused([](Params& p) { p.kv.num_blocks = 0; }, "num_blocks is 0");
  refused([](Params& p) { p.kv.num_blocks = int64_t{1} << 31; }, "num_blocks is 2147483648");
  refused([](Params& p) { p.kv.blocks = nullptr; }, "kv.blocks is null");
  refused([](Params& p) { p.kv.blocks = static_cast<char*>(p.kv.blocks) + 64; }, "128 bytes");
  refused([](Params& p) { p.num_sequences = 1025; }, "num_sequences is 1025");
  refused([](Params& p) { p.num_sequences = -1; }, "num_sequences is -1");
  refused([](Params& p) { p.block_table_stride = 0; }, "block_table_stride is 0");
  refused([](Params& p) { --p.workspace_bytes; }, "workspace_bytes is");
  refused([](Params& p) { p.workspace = nullptr; }, "workspace is null");
  refused([](Params& p) { p.qkv = static_cast<const char*>(p.qkv) + 2; }, "qkv is not aligned");
  refused([](Params& p) { p.out = nullptr; }, "out is null");
  refused([](Params& p) { p.kv_len = nullptr; }, "kv_len is null");
  refused([](Params& p) { p.row = nullptr; }, "row is null");
  refused([](Params& p) { p.block_tables = nullptr; }, "block_tables is null");
}

}  // namespace
}  // namespace glmoe::cuda
