#include "apps/latency.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/rng.h"

namespace glmoe::apps {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void make_room(const LatencyBatch& batch, LlmOptions& options) {
  if (options.kv_cache.max_tokens == 0) {
    const int64_t block = options.kv_cache.tokens_per_block;
    options.kv_cache.max_tokens = batch.batch_size * (batch.context() + block);
  }
  options.max_batch_size = std::max(options.max_batch_size, batch.batch_size);
}

LatencyTiming time_batch(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  std::vector<ResponseStream> streams;
  SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.ignore_eos = true;
  sampling.max_tokens = batch.output_len;
  const double start = seconds_now();
  for (int64_t b = 0; b < batch.batch_size; ++b) {
    std::vector<int32_t> ids(static_cast<size_t>(batch.prompt_len));
    for (size_t i = 0; i < ids.size(); ++i) {
      const uint64_t bits = random_bits(round, static_cast<uint64_t>(b), i);
      ids[i] = static_cast<int32_t>(bits % static_cast<uint64_t>(llm.config().vocab_size));
    }
    streams.push_back(llm.submit({std::move(ids), sampling}));
  }
  // The last sequence is scheduled last: when it has its first token, all have.
  LatencyTiming timing;
  OutputDelta delta;
  std::vector<double> gaps;
  double last = start;
  bool first = true;
  while (streams.back().next(delta)) {
    if (delta.token_ids.empty()) continue;
    const double now = seconds_now();
    if (first) {
      timing.prefill_s = now - start;
    } else {
      gaps.push_back(now - last);
    }
    first = false;
    last = now;
  }
  for (size_t b = 0; b + 1 < streams.size(); ++b) streams[b].result();
  if (!gaps.empty()) timing.decode_s = median(gaps);
  return timing;
}

}  // namespace glmoe::apps
