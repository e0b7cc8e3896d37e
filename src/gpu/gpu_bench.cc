#include "gpu/gpu_bench.h"

#include <algorithm>
#include <memory>

#include "gpu/bench_timer.h"
#include "gpu/gpu_checks.h"
#include "gpu/gpu_choices.h"
#include "gpu/gpu_product.h"
#include "kernels/cuda/bandwidth/read_all.h"
#include "kernels/cuda/fill/fill.h"

namespace glmoe {
namespace {

constexpr size_t kGemmWorkspaceBytes = size_t{64} << 20;
constexpr int64_t kMaxStreamedBenchRows = 128;
constexpr int64_t kMaxHeadRows = 512;

double real(int64_t count) { return static_cast<double>(count); }

double measure_read(const BenchTimer& timer, int num_sms) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  GLMOE_CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
  const size_t bytes = std::min(size_t{4} << 30, free_bytes / 2) / 4096 * 4096;
  const DeviceBuffer from(bytes, "the bandwidth measurement");
  const DeviceBuffer sink(256, "a checksum");
  cuda::launch_fill_random(from.data(), cuda::ElementType::kF32, static_cast<int64_t>(bytes / 4),
                           1.0f, 1, timer.stream());
  const double us = timer.call_us(2, [&](int) {
    cuda::launch_read_all(from.data(), bytes, reinterpret_cast<uint32_t*>(sink.data()), num_sms,
                          timer.stream());
  });
  return static_cast<double>(bytes) / us * 1e-3;
}

double measure_matrix_rate(const BenchTimer& timer) {
  constexpr int64_t kSize = 8192;
  const DeviceBuffer operands(3 * kSize * kSize * 2, "the matrix measurement");
  const DeviceBuffer workspace(kGemmWorkspaceBytes, "the matrix measurement's workspace");
  cuda::launch_fill_random(operands.data(), cuda::ElementType::kBf16, 2 * kSize * kSize, 1.0f, 1,
                           timer.stream());
  cuda::DenseGemm gemm(workspace.data(), workspace.size());
  cuda::DenseGemmParams p;
  p.x = operands.data();
  p.w = operands.data() + kSize * kSize * 2;
  p.out = operands.data() + 2 * kSize * kSize * 2;
  p.num_rows = p.out_size = p.in_size = p.x_stride = p.out_stride = kSize;
  const double us = timer.call_us(2, [&](int) { gemm.run(p, timer.stream()); });
  return 2.0 * kSize * kSize * kSize / us * 1e-6;
}

// One of the model's dense products: the same matrix of several layers in turn.
struct Product {
  const char* name;
  std::vector<GpuMatrix> matrices;
  cuda::StreamEpilogue epilogue;
  int64_t max_rows;
};

struct GemmBuffers {
  DeviceBuffer x, out, scratch, workspace;
};

class GemmBench {
 public:
  GemmBench(cuda::ElementType type, int num_sms, const GemmBuffers& buffers)
      : type_(type),
        num_sms_(num_sms),
        buffers_(buffers),
        dense_gemm_(buffers.workspace.data(), buffers.workspace.size()) {}

  double stream_us(const Product& product, int64_t num_rows) const {
    return timer_.call_us(kCalls, [&](int i) {
      launch_streamed_product(call(product, num_rows, i), type_, num_sms_, timer_.stream());
    });
  }

  double library_us(const Product& product, int64_t num_rows) {
    return timer_.call_us(kCalls, [&](int i) {
      launch_library_product(call(product, num_rows, i), type_, dense_gemm_,
                             buffers_.scratch.data(), timer_.stream());
    });
  }

 private:
  static constexpr int kCalls = 6;
  GpuProduct call(const Product& product, int64_t num_rows, int index) const {
    return {.x = buffers_.x.data(),
            .w = product.matrices[static_cast<size_t>(index) % product.matrices.size()],
            .out = buffers_.out.data(),
            .num_rows = static_cast<int>(num_rows),
            .epilogue = product.epilogue};
  }

  cuda::ElementType type_;
  int num_sms_;
  const GemmBuffers& buffers_;
  BenchTimer timer_;
  cuda::DenseGemm dense_gemm_;
};

std::vector<Product> products_of(const GpuWeights& weights) {
  using cuda::StreamEpilogue;
  std::vector<Product> products = {{"qkv", {}, StreamEpilogue::kStore, INT64_MAX},
                                   {"o", {}, StreamEpilogue::kAddF32, INT64_MAX},
                                   {"gate_up", {}, StreamEpilogue::kSwiglu, INT64_MAX},
                                   {"down", {}, StreamEpilogue::kAddF32, INT64_MAX},
                                   {"lm_head", {}, StreamEpilogue::kStoreF32, kMaxHeadRows}};
  for (const GpuLayer& layer : weights.layers()) {
    products[0].matrices.push_back(layer.qkv);
    products[1].matrices.push_back(layer.o);
    products[2].matrices.push_back(layer.mlp->gate_up);
    products[3].matrices.push_back(layer.mlp->down);
  }
  products[4].matrices.push_back(weights.lm_head());
  return products;
}

GemmBuffers make_buffers(const std::vector<Product>& products, int64_t num_rows,
                         cuda::ElementType type) {
  int64_t in = 0, out = 0, scratch = 0;
  for (const Product& product : products) {
    const GpuMatrix& w = product.matrices[0];
    const int64_t rows = std::min(num_rows, product.max_rows);
    in = std::max(in, rows * w.cols);
    out = std::max(out, rows * w.rows);
    if (product.epilogue == cuda::StreamEpilogue::kSwiglu) scratch = rows * w.rows;
  }
  GemmBuffers buffers{DeviceBuffer(static_cast<size_t>(in) * 2, "the rows"),
                      DeviceBuffer(static_cast<size_t>(out) * 4, "the products"),
                      DeviceBuffer(static_cast<size_t>(scratch) * 4, "gate and up rows"),
                      DeviceBuffer(kGemmWorkspaceBytes, "the library's workspace")};
  const CudaStream stream;
  cuda::launch_fill_random(buffers.x.data(), type, in, 1.7f, 7, stream.get());
  GLMOE_CUDA(cudaMemsetAsync(buffers.out.data(), 0, buffers.out.size(), stream.get()));
  stream.synchronize();
  return buffers;
}

}  // namespace

GpuRates measure_gpu_rates() {
  const GpuInfo gpu = use_gpu();
  const BenchTimer timer;
  GpuRates rates;
  rates.device = gpu.name;
  rates.read_gb_per_s = measure_read(timer, gpu.sm_count);
  rates.matrix_tflop_per_s = measure_matrix_rate(timer);
  return rates;
}

std::vector<GpuGemmRow> bench_gpu_gemm(const Glm4MoeConfig& config, DType dtype,
                                       const std::vector<int64_t>& num_rows) {
  const GpuInfo gpu = use_gpu();
  const cuda::ElementType type = check_gpu_runs(config, dtype);
  // Dense layers alone, as many as take turns without the card's cache helping.
  Glm4MoeConfig dense = config;
  dense.num_hidden_layers = dense.first_k_dense_replace = 3;
  const GpuWeights weights(dense, type, /*seed=*/1);
  const std::vector<Product> products = products_of(weights);
  const GemmBuffers buffers = make_buffers(products, std::ranges::max(num_rows), type);
  GemmBench bench(type, gpu.sm_count, buffers);
  std::vector<GpuGemmRow> rows;
  for (const Product& product : products) {
    for (const int64_t m : num_rows) {
      if (m > product.max_rows) continue;
      GpuGemmRow row;
      row.matrix = product.name;
      row.num_rows = m;
      row.out_size = product.matrices[0].rows;
      row.in_size = product.matrices[0].cols;
      row.bytes = 2.0 * real(row.out_size) * real(row.in_size);
      row.flops = real(m) * row.bytes;
      if (m <= kMaxStreamedBenchRows) {
        row.kernel = "stream";
        row.taken = m <= kMaxStreamedRows;
        row.us = bench.stream_us(product, m);
        rows.push_back(row);
      }
      row.kernel = "cublaslt";
      row.taken = m > kMaxStreamedRows;
      row.us = bench.library_us(product, m);
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace glmoe
