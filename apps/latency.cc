#include "apps/latency.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/rng.h"
#include "spec/step_floor.h"

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
    const int64_t block = std::max<int64_t>(options.kv_cache.tokens_per_block, 64);
    options.kv_cache.max_tokens = batch.batch_size * (batch.context() + block);
  }
  options.kv_cache.enable_block_reuse = false;  // every token is to be computed
  options.max_batch_size = std::max(options.max_batch_size, batch.batch_size);
  options.max_queued_requests = std::max(options.max_queued_requests, batch.batch_size);
}

namespace {

std::vector<ResponseStream> submit_batch(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  std::vector<ResponseStream> streams;
  SamplingParams sampling;
  sampling.temperature = 0.0f;
  sampling.ignore_eos = true;
  sampling.max_tokens = batch.output_len + batch.lead;
  for (int64_t b = 0; b < batch.batch_size; ++b) {
    std::vector<int32_t> ids(static_cast<size_t>(batch.prompt_len));
    for (size_t i = 0; i < ids.size(); ++i) {
      const uint64_t bits = random_bits(round, static_cast<uint64_t>(b), i);
      ids[i] = static_cast<int32_t>(bits % static_cast<uint64_t>(llm.config().vocab_size));
    }
    streams.push_back(llm.submit({std::move(ids), sampling}));
  }
  return streams;
}

// Tokens of the next delta that has any; 0 at the end.
size_t next_tokens(ResponseStream& stream) {
  OutputDelta delta;
  while (stream.next(delta)) {
    if (!delta.token_ids.empty()) return delta.token_ids.size();
  }
  return 0;
}

}  // namespace

LatencyTiming time_batch(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  const double start = seconds_now();
  std::vector<ResponseStream> streams = submit_batch(llm, batch, round);
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

void set_lead(LatencyBatch& batch, int64_t max_num_tokens) {
  if (batch.batch_size == 1) return;
  // A step gives each sequence that decodes its token first; what is left is for prefill.
  const int64_t chunk = std::max<int64_t>(max_num_tokens - batch.batch_size, 1);
  batch.lead = (batch.batch_size * batch.prompt_len + chunk - 1) / chunk + 1;
}

DecodeTiming time_decode(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  const uint64_t generated_before = llm.stats().generated_tokens;
  std::vector<ResponseStream> streams = submit_batch(llm, batch, round);
  std::vector<double> gaps;
  (void)next_tokens(streams.back());
  double last = seconds_now();
  for (int64_t i = 1; i < batch.output_len && next_tokens(streams.back()) > 0; ++i) {
    const double now = seconds_now();
    gaps.push_back(now - last);
    last = now;
  }
  const uint64_t generated = llm.stats().generated_tokens - generated_before;
  for (ResponseStream& stream : streams) stream.cancel();
  for (ResponseStream& stream : streams) (void)stream.result();
  DecodeTiming timing;
  if (!gaps.empty()) timing.step_s = median(gaps);
  timing.context = static_cast<double>(batch.prompt_len) +
                   static_cast<double>(generated) / static_cast<double>(batch.batch_size) -
                   static_cast<double>(batch.output_len) / 2.0;
  return timing;
}

double experts_of_decode(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  // Exact; and a step alone is not to be seen where steps are planned ahead and short.
  if (batch.batch_size == 1) {
    return static_cast<double>(llm.config().moe.top_k * llm.config().num_moe_layers());
  }
  constexpr int kSteps = 8;
  std::vector<ResponseStream> streams = submit_batch(llm, batch, round);
  (void)next_tokens(streams.back());
  double sum = 0.0;
  int caught = 0;
  ExpertCounts before = llm.expert_counts();
  for (int64_t i = 2; i < batch.output_len && caught < kSteps; ++i) {
    ExpertCounts after = llm.expert_counts();
    if (after.steps == before.steps + 1) {
      sum += static_cast<double>(experts_between(before.tokens, after.tokens));
      ++caught;
    }
    before = std::move(after);
  }
  for (ResponseStream& stream : streams) stream.cancel();
  for (ResponseStream& stream : streams) (void)stream.result();
  return caught > 0 ? sum / caught : 0.0;
}

namespace {

// Once the steps that cancelled requests left behind are done.
ExpertCounts idle_expert_counts(LLM& llm) {
  ExpertCounts last = llm.expert_counts();
  for (;;) {
    ExpertCounts now = llm.expert_counts();
    if (now.steps == last.steps) return now;
    last = std::move(now);
  }
}

}  // namespace

double experts_of_prefill(LLM& llm, const LatencyBatch& batch, uint64_t round) {
  LatencyBatch alone = batch;
  alone.output_len = 1;
  alone.lead = 0;
  const ExpertCounts before = idle_expert_counts(llm);
  std::vector<ResponseStream> streams = submit_batch(llm, alone, round);
  for (ResponseStream& stream : streams) (void)stream.result();
  const ExpertCounts after = idle_expert_counts(llm);
  if (after.steps != before.steps + 1) return 0.0;
  return static_cast<double>(experts_between(before.tokens, after.tokens));
}

}  // namespace glmoe::apps
