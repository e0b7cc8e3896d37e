#include "serve/load/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <string_view>

#include "base/error.h"

namespace glmoe::serve {

double percentile(const std::vector<double>& sorted, double percent) {
  const double place = percent / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

Distribution distribution_of(std::vector<double> values) {
  Distribution result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  result.count = static_cast<int64_t>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0.0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.stddev = std::sqrt(squares / count);
  result.median = percentile(values, 50.0);
  result.p90 = percentile(values, 90.0);
  result.p95 = percentile(values, 95.0);
  result.p99 = percentile(values, 99.0);
  result.max = values.back();
  return result;
}

bool Goodput::met_by(const LoadRecord& record) const {
  if (!record.ok() || record.first_token_s < 0.0) return false;
  if (ttft_ms && record.ttft_ms() > *ttft_ms) return false;
  if (tpot_ms && record.has_tpot() && record.tpot_ms() > *tpot_ms) return false;
  return !e2e_ms || record.e2e_ms() <= *e2e_ms;
}

Goodput parse_goodput(const std::string& text, const std::string& flag) {
  Goodput goodput;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    const size_t colon = std::min(entry.find(':'), entry.size());
    const std::string_view name = entry.substr(0, colon);
    const std::string_view number = entry.substr(std::min(colon + 1, entry.size()));
    double value = 0.0;
    const auto [end, problem] =
        std::from_chars(number.data(), number.data() + number.size(), value);
    std::optional<double>* field = nullptr;
    if (name == "ttft_ms") field = &goodput.ttft_ms;
    if (name == "tpot_ms") field = &goodput.tpot_ms;
    if (name == "e2el_ms") field = &goodput.e2e_ms;
    if (field == nullptr || problem != std::errc() || end != number.data() + number.size() ||
        !(value > 0.0 && value < 1e12)) {
      fail_argument(
          "{} '{}': ttft_ms, tpot_ms or e2el_ms with a number above 0 was wanted, such as "
          "ttft_ms:200,tpot_ms:30; found '{}'",
          flag, text, entry);
    }
    *field = value;
  }
  return goodput;
}

namespace {

void add_failure(const Failure& failure, LoadSummary& summary) {
  if (failure.kind == FailureKind::kCancelled) {
    ++summary.num_cancelled;
    return;
  }
  ++summary.num_failed;
  const std::string name = failure.kind == FailureKind::kStatus
                               ? fmt::format("status {}", failure.status)
                               : std::string(failure_kind_name(failure.kind));
  auto& [count, message] = summary.failures[name];
  if (count++ == 0) message = failure.message;
}

// How many requests were open at most, and on average over the whole time.
void measure_concurrency(const std::vector<LoadRecord>& records, LoadSummary& summary) {
  std::vector<std::pair<double, int>> changes;
  double open_s = 0.0;
  for (const LoadRecord& record : records) {
    changes.emplace_back(record.sent_s, 1);
    changes.emplace_back(record.end_s, -1);
    open_s += record.end_s - record.sent_s;
  }
  std::sort(changes.begin(), changes.end());  // at the same time, ends go first
  int64_t open = 0;
  for (const auto& [when, change] : changes) {
    open += change;
    summary.max_concurrency = std::max(summary.max_concurrency, open);
  }
  if (summary.duration_s > 0.0) summary.mean_concurrency = open_s / summary.duration_s;
}

void measure_rates(const std::vector<LoadRecord>& records, LoadSummary& summary) {
  double first = records.front().sent_s, last_sent = first, last = records.front().end_s;
  for (const LoadRecord& record : records) {
    first = std::min(first, record.sent_s);
    last_sent = std::max(last_sent, record.sent_s);
    last = std::max(last, record.end_s);
  }
  summary.duration_s = last - first;
  // n requests have n - 1 distances.
  if (last_sent > first) {
    summary.sent_rate = static_cast<double>(records.size() - 1) / (last_sent - first);
  }
  if (summary.duration_s <= 0.0) return;
  const auto rate = [&](int64_t count) { return static_cast<double>(count) / summary.duration_s; };
  summary.request_rate = rate(summary.num_ok);
  summary.output_token_rate = rate(summary.completion_tokens);
  summary.total_token_rate = rate(summary.completion_tokens + summary.prompt_tokens);
  summary.good_rate = rate(summary.num_good);
}

}  // namespace

LoadSummary summarise(const std::vector<LoadRecord>& records, const Goodput& goodput) {
  LoadSummary summary;
  if (records.empty()) return summary;
  std::vector<double> ttft, tpot, itl, e2e, late;
  for (const LoadRecord& record : records) {
    late.push_back((record.sent_s - record.due_s) * 1e3);
    if (!record.ok()) {
      add_failure(record.failure, summary);
      continue;
    }
    ++summary.num_ok;
    summary.prompt_tokens += record.prompt_tokens;
    summary.completion_tokens += record.completion_tokens;
    summary.cached_tokens += record.cached_tokens;
    if (!record.tokens_from_usage) ++summary.num_counted_by_chunks;
    ++summary.finish_reasons[record.finish_reason.empty() ? "none" : record.finish_reason];
    if (goodput.any() && goodput.met_by(record)) ++summary.num_good;
    e2e.push_back(record.e2e_ms());
    if (record.first_token_s < 0.0) continue;  // an answer without any text
    ttft.push_back(record.ttft_ms());
    if (record.has_tpot()) tpot.push_back(record.tpot_ms());
    itl.insert(itl.end(), record.gaps_ms.begin(), record.gaps_ms.end());
  }
  summary.ttft = distribution_of(std::move(ttft));
  summary.tpot = distribution_of(std::move(tpot));
  summary.itl = distribution_of(std::move(itl));
  summary.e2e = distribution_of(std::move(e2e));
  summary.late_ms = distribution_of(std::move(late));
  measure_rates(records, summary);
  measure_concurrency(records, summary);
  return summary;
}

}  // namespace glmoe::serve
