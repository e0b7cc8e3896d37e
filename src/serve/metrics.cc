#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>
#include <vector>

namespace glmoe::serve {
namespace {

using prometheus::ClientMetric;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Families = std::vector<MetricFamily>;

// Seconds; the ranges that vLLM's dashboards are made for.
const Histogram::BucketBoundaries kFirstTokenBuckets = {
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,  0.25,  0.5,   0.75,
    1.0,   2.5,   5.0,  7.5,  10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0};
const Histogram::BucketBoundaries kBetweenTokensBuckets = {
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,  0.15, 0.2,  0.3, 0.4,
    0.5,    0.75,  1.0,  2.5,   5.0,  7.5,   10.0, 20.0, 40.0, 80.0};
const Histogram::BucketBoundaries kRequestBuckets = {
    0.001, 0.01, 0.05, 0.1,  0.3,  0.5,  0.8,   1.0,   1.5,   2.0,   2.5,    5.0,   10.0,
    15.0,  20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0};

Histogram& histogram(prometheus::Registry& registry, const char* name, const char* help,
                     const Histogram::BucketBoundaries& buckets) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

Family<Counter>& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

MetricFamily& add_family(Families& families, const char* name, const char* help, MetricType type) {
  families.push_back({.name = name, .help = help, .type = type, .metric = {}});
  return families.back();
}

void add_value(MetricFamily& family, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

void add_engine_stats(Families& families, const EngineStats& stats) {
  const auto gauge = [&](const char* name, const char* help, double value) {
    add_value(add_family(families, name, help, MetricType::Gauge), value);
  };
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    add_value(add_family(families, name, help, MetricType::Counter), static_cast<double>(value));
  };
  gauge("glmoe_num_requests_running", "Sequences in the running batch",
        static_cast<double>(stats.num_running));
  gauge("glmoe_num_requests_waiting", "Sequences that wait to be scheduled",
        static_cast<double>(stats.num_waiting));
  const auto total = static_cast<double>(std::max<int64_t>(stats.kv_blocks_total, 1));
  gauge("glmoe_kv_cache_usage_perc", "Share of the KV cache's blocks in use, 0 to 1",
        static_cast<double>(stats.kv_blocks_total - stats.kv_blocks_free) / total);
  gauge("glmoe_kv_cache_blocks", "Blocks of the KV cache",
        static_cast<double>(stats.kv_blocks_total));
  counter("glmoe_prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache",
          stats.prefix_cache_queries);
  counter("glmoe_prefix_cache_hits_total", "Prompt tokens found in the prefix cache",
          stats.prefix_cache_hits);
  counter("glmoe_num_preemptions_total", "Sequences put back for want of KV blocks",
          stats.preemptions);
  counter("glmoe_prompt_tokens_total", "Prompt tokens computed", stats.prompt_tokens);
  counter("glmoe_generation_tokens_total", "Tokens generated", stats.generated_tokens);
  counter("glmoe_engine_steps_total", "Steps of the engine", stats.steps);
  gauge("glmoe_engine_failed", "1 once the engine can run no further request",
        stats.failure.empty() ? 0.0 : 1.0);
}

void add_experts(Families& families, const ExpertCounts& counts, bool each_expert) {
  MetricFamily& imbalance =
      add_family(families, "glmoe_moe_imbalance",
                 "Tokens of the layer's busiest expert over the mean, since the start; 1 is even",
                 MetricType::Gauge);
  for (size_t layer = 0; layer < counts.tokens.size(); ++layer) {
    const std::vector<uint64_t>& tokens = counts.tokens[layer];
    uint64_t sum = 0, most = 0;
    for (const uint64_t count : tokens) {
      sum += count;
      most = std::max(most, count);
    }
    if (sum == 0) continue;
    const double mean = static_cast<double>(sum) / static_cast<double>(tokens.size());
    add_value(imbalance, static_cast<double>(most) / mean, {{"layer", std::to_string(layer)}});
  }
  if (!each_expert) return;
  MetricFamily& each = add_family(families, "glmoe_moe_expert_tokens_total",
                                  "Tokens routed to each expert", MetricType::Counter);
  for (size_t layer = 0; layer < counts.tokens.size(); ++layer) {
    for (size_t expert = 0; expert < counts.tokens[layer].size(); ++expert) {
      add_value(each, static_cast<double>(counts.tokens[layer][expert]),
                {{"layer", std::to_string(layer)}, {"expert", std::to_string(expert)}});
    }
  }
}

}  // namespace

struct ServerMetrics::Impl {
  explicit Impl(ExpertMetrics expert_metrics) : experts(expert_metrics) {}

  ExpertMetrics experts;
  std::atomic<const LLM*> llm{nullptr};
  prometheus::Registry registry;
  Histogram& first_token = histogram(registry, "glmoe_time_to_first_token_seconds",
                                     "From the request to its first token", kFirstTokenBuckets);
  Histogram& between_tokens = histogram(registry, "glmoe_inter_token_latency_seconds",
                                        "Between two tokens of an answer", kBetweenTokensBuckets);
  Histogram& whole = histogram(registry, "glmoe_e2e_request_latency_seconds",
                               "From the request to its last token", kRequestBuckets);
  Histogram& queue = histogram(registry, "glmoe_request_queue_time_seconds",
                               "From the request until it was first scheduled", kRequestBuckets);
  Family<Counter>& success = counters(registry, "glmoe_request_success_total",
                                      "Requests that have ended, by their reason");
  Family<Counter>& rejected =
      counters(registry, "glmoe_requests_rejected_total",
               "Requests and connections answered with an error, by its code");
  Counter& disconnects = counters(registry, "glmoe_client_disconnects_total",
                                  "Requests whose client left, or did not read")
                             .Add({});
  Family<Counter>& http_requests =
      counters(registry, "glmoe_http_requests_total", "HTTP requests by route and status");
};

ServerMetrics::ServerMetrics(ExpertMetrics experts) : impl_(std::make_unique<Impl>(experts)) {
  for (const char* reason : {"stop", "length", "cancelled", "timeout", "error"}) {
    impl_->success.Add({{"finished_reason", reason}});  // shown from the start, as 0
  }
}

ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::set_engine(const LLM* llm) { impl_->llm.store(llm); }

void ServerMetrics::on_request(const RequestRecord& record) {
  const std::string route = record.route.empty() ? "none" : record.route;
  impl_->http_requests.Add({{"route", route}, {"status", std::to_string(record.status)}})
      .Increment();
  if (!record.error_code.empty()) on_rejected(record.error_code);
  if (record.cancelled == CancelReason::kClientGone) impl_->disconnects.Increment();
}

void ServerMetrics::on_rejected(std::string_view reason) {
  impl_->rejected.Add({{"reason", std::string(reason)}}).Increment();
}

void ServerMetrics::on_first_token(double seconds) { impl_->first_token.Observe(seconds); }

void ServerMetrics::on_tokens(double seconds_since_last, size_t count) {
  if (count == 0) return;
  const double each = seconds_since_last / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) impl_->between_tokens.Observe(each);
}

void ServerMetrics::on_finished(std::string_view reason, double queue_seconds,
                                double total_seconds) {
  impl_->success.Add({{"finished_reason", std::string(reason)}}).Increment();
  impl_->queue.Observe(queue_seconds);
  impl_->whole.Observe(total_seconds);
}

std::string ServerMetrics::text() const {
  Families families = impl_->registry.Collect();
  if (const LLM* llm = impl_->llm.load()) {
    const EngineStats stats = llm->stats();
    add_engine_stats(families, stats);
    if (impl_->experts != ExpertMetrics::kNone && stats.failure.empty()) {
      try {
        add_experts(families, llm->expert_counts(), impl_->experts == ExpertMetrics::kExperts);
      } catch (const std::exception&) {
        // The engine failed or ended in between; the next scrape says so.
      }
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace glmoe::serve
