// Percentiles and totals of a load's records.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "serve/load/load_record.h"

namespace glmoe::serve {

struct Distribution {
  int64_t count = 0;
  double mean = 0.0, stddev = 0.0, median = 0.0, p90 = 0.0, p95 = 0.0, p99 = 0.0, max = 0.0;
};

// Between the two nearest ranks in proportion; of at least one value, 0 <= percent <= 100.
double percentile(const std::vector<double>& sorted, double percent);
// All zero without values.
Distribution distribution_of(std::vector<double> values);

// Latencies that a request has to keep to count as good; those not set do not matter.
struct Goodput {
  std::optional<double> ttft_ms, tpot_ms, e2e_ms;
  bool any() const { return ttft_ms || tpot_ms || e2e_ms; }
  bool met_by(const LoadRecord& record) const;
};

// "ttft_ms:200,tpot_ms:30,e2el_ms:5000". Throws kInvalidArgument naming `flag`.
Goodput parse_goodput(const std::string& text, const std::string& flag);

struct LoadSummary {
  int64_t num_ok = 0, num_failed = 0, num_cancelled = 0;
  // "status 429" or a failure kind's name -> how many, and the first one's message.
  std::map<std::string, std::pair<int64_t, std::string>> failures;
  double duration_s = 0.0;  // first request sent until the last one's end
  double request_rate = 0.0, sent_rate = 0.0, output_token_rate = 0.0, total_token_rate = 0.0;
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;  // of those that succeeded
  int64_t num_counted_by_chunks = 0;
  std::map<std::string, int64_t> finish_reasons;
  int64_t max_concurrency = 0;
  double mean_concurrency = 0.0;
  Distribution ttft, tpot, itl, e2e, late_ms;
  int64_t num_good = 0;
  double good_rate = 0.0;
};

LoadSummary summarise(const std::vector<LoadRecord>& records, const Goodput& goodput);

}  // namespace glmoe::serve
