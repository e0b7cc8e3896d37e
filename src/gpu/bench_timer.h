// The time of work on a GPU without the host's share: graphs of several calls.
#pragma once

#include <algorithm>
#include <vector>

#include "gpu/cuda_objects.h"

namespace glmoe {

class BenchTimer {
 public:
  BenchTimer() {
    GLMOE_CUDA(cudaEventCreate(&start_));
    GLMOE_CUDA(cudaEventCreate(&stop_));
  }
  BenchTimer(const BenchTimer&) = delete;
  BenchTimer& operator=(const BenchTimer&) = delete;
  ~BenchTimer() {
    (void)cudaEventDestroy(start_);
    (void)cudaEventDestroy(stop_);
  }

  cudaStream_t stream() const { return stream_.get(); }

  // The median time of one of `calls` calls work(0) ... in a row: of at least three rounds, of
  // more as far as kBudgetUs lasts; rounds of kWarmUpUs before, at least one, are not counted.
  template <class Work>
  double call_us(int calls, const Work& work) const {
    const CudaGraph graph(stream_.get(), [&] {
      for (int i = 0; i < calls; ++i) work(i);
    });
    for (double warm = 0.0; warm < kWarmUpUs;) warm += round_us(graph);
    std::vector<double> times;
    double total = 0.0;
    while (times.size() < kMinRounds || (total < kBudgetUs && times.size() < kMaxRounds)) {
      const double us = round_us(graph);
      times.push_back(us / calls);
      total += us;
    }
    std::ranges::sort(times);
    return times[times.size() / 2];
  }

 private:
  static constexpr size_t kMinRounds = 3;
  static constexpr size_t kMaxRounds = 15;
  static constexpr double kBudgetUs = 60e3;
  static constexpr double kWarmUpUs =
      30e3;  // a card that was idle takes its time to reach its clock

  double round_us(const CudaGraph& graph) const {
    GLMOE_CUDA(cudaEventRecord(start_, stream_.get()));
    graph.launch(stream_.get());
    GLMOE_CUDA(cudaEventRecord(stop_, stream_.get()));
    GLMOE_CUDA(cudaEventSynchronize(stop_));
    float ms = 0.0f;
    GLMOE_CUDA(cudaEventElapsedTime(&ms, start_, stop_));
    return 1e3 * static_cast<double>(ms);
  }

  CudaStream stream_;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
};

}  // namespace glmoe
