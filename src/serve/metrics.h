// What /metrics says, in Prometheus' text form. Names follow vLLM's stems and units under the
// prefix glmoe_; docs/serving.md lists them. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "glmoe/llm.h"
#include "serve/http/http_service.h"

namespace glmoe::serve {

// What of the experts is shown. A scrape that shows anything waits for the step that runs.
enum class ExpertMetrics {
  kNone,
  kLayers,  // moe_imbalance{layer}
  kExperts  // and moe_expert_tokens_total{layer,expert}: 160 series a layer
};

class ServerMetrics {
 public:
  explicit ServerMetrics(ExpertMetrics experts = ExpertMetrics::kLayers);
  ~ServerMetrics();

  // `llm` outlives this. Until it is set, only HTTP's own numbers are shown.
  void set_engine(const LLM* llm);

  void on_request(const RequestRecord& record);
  void on_rejected(std::string_view reason);
  void on_first_token(double seconds);                      // since the request came
  void on_tokens(double seconds_since_last, size_t count);  // of one answer, after its first
  // One engine request has ended. `queue_seconds`: until it was first scheduled.
  void on_finished(std::string_view reason, double queue_seconds, double total_seconds);

  // Blocks until the engine's numbers are there.
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe::serve
