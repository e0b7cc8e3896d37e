#include "serve/load/report.h"

#include <fmt/format.h>

namespace glmoe::serve {
namespace {

constexpr double kMostLagMs = 5.0;

Json distribution_json(const Distribution& d) {
  return {{"count", d.count}, {"mean", d.mean}, {"stddev", d.stddev}, {"median", d.median},
          {"p90", d.p90},     {"p95", d.p95},   {"p99", d.p99},       {"max", d.max}};
}

void add_row(std::string& table, const char* name, const Distribution& d) {
  if (d.count == 0) {
    table += fmt::format("{:<10} {:>10}\n", name, "-");
    return;
  }
  table += fmt::format("{:<10} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f} {:>10.2f}\n", name,
                       d.mean, d.median, d.p90, d.p95, d.p99, d.max);
}

std::string loop_text(const LoadOptions& options) {
  std::string text = "closed loop";
  if (options.request_rate > 0.0) {
    text = fmt::format("open loop, {} requests/s ({})", options.request_rate,
                       options.burstiness == 0.0   ? "fixed"
                       : options.burstiness == 1.0 ? "Poisson"
                                                   : fmt::format("gamma {}", options.burstiness));
  }
  if (options.concurrency > 0) text += fmt::format(", at most {} open", options.concurrency);
  return text;
}

void add_counts(std::string& table, const LoadReport& report) {
  const LoadSummary& s = report.summary;
  table += fmt::format("requests: {} succeeded, {} failed", s.num_ok, s.num_failed);
  if (s.num_cancelled > 0) table += fmt::format(", {} cancelled here", s.num_cancelled);
  if (report.interrupted) table += " (interrupted)";
  table += "\n";
  for (const auto& [name, failure] : s.failures) {
    table += fmt::format("  {} x {}: {}\n", failure.first, name, failure.second);
  }
  table += fmt::format("time: {:.2f} s, prompts: {}\n", s.duration_s, report.prompts);
  table += fmt::format("tokens: {} prompt ({} cached), {} generated", s.prompt_tokens,
                       s.cached_tokens, s.completion_tokens);
  if (s.num_counted_by_chunks > 0) {
    table += fmt::format(" (of {} answers without usage, the chunks)", s.num_counted_by_chunks);
  }
  table += "\n";
}

}  // namespace

LoadReport make_report(const LoadOutcome& outcome, const LoadOptions& options,
                       const Goodput& goodput) {
  return {.summary = summarise(outcome.records, goodput),
          .loop_lag_ms = outcome.loop_lag_ms,
          .cpu_share = outcome.cpu_share,
          .interrupted = outcome.interrupted,
          .prompts = outcome.prompts,
          .options = options,
          .goodput = goodput};
}

std::string client_warning(const LoadReport& report) {
  if (report.loop_lag_ms.p99 <= kMostLagMs) return {};
  return fmt::format(
      "this client came {:.1f} ms late to its own timers at p99 (more than {:.0f} ms): its times "
      "are too long. Give it a core of its own, or divide the load among several",
      report.loop_lag_ms.p99, kMostLagMs);
}

Json report_json(const LoadReport& report) {
  const LoadSummary& s = report.summary;
  Json failures = Json::object();
  for (const auto& [name, failure] : s.failures) {
    failures[name] = {{"count", failure.first}, {"first", failure.second}};
  }
  Json json = {{"requests_succeeded", s.num_ok},
               {"requests_failed", s.num_failed},
               {"requests_cancelled", s.num_cancelled},
               {"failures", failures},
               {"interrupted", report.interrupted},
               {"prompts", report.prompts},
               {"duration_s", s.duration_s},
               {"concurrency_limit", report.options.concurrency},
               {"mean_concurrency", s.mean_concurrency},
               {"max_concurrency", s.max_concurrency},
               {"prompt_tokens", s.prompt_tokens},
               {"cached_tokens", s.cached_tokens},
               {"completion_tokens", s.completion_tokens},
               {"answers_without_usage", s.num_counted_by_chunks},
               {"finish_reasons", s.finish_reasons},
               {"sent_requests_per_s", s.sent_rate},
               {"requests_per_s", s.request_rate},
               {"output_tokens_per_s", s.output_token_rate},
               {"total_tokens_per_s", s.total_token_rate},
               {"ttft_ms", distribution_json(s.ttft)},
               {"tpot_ms", distribution_json(s.tpot)},
               {"itl_ms", distribution_json(s.itl)},
               {"e2el_ms", distribution_json(s.e2e)},
               {"sent_late_ms", distribution_json(s.late_ms)},
               {"client",
                {{"loop_lag_ms", distribution_json(report.loop_lag_ms)},
                 {"cpu_share_of_a_core", report.cpu_share},
                 {"warning", client_warning(report)}}}};
  if (report.options.request_rate > 0.0) {
    json["asked_requests_per_s"] = report.options.request_rate;
    json["burstiness"] = report.options.burstiness;
  }
  if (report.goodput.any()) {
    json["good_requests"] = s.num_good;
    json["goodput_requests_per_s"] = s.good_rate;
  }
  return json;
}

std::string report_table(const LoadReport& report) {
  const LoadSummary& s = report.summary;
  std::string table = loop_text(report.options) + "\n";
  add_counts(table, report);
  table += fmt::format("sent: {:.2f} requests/s", s.sent_rate);
  if (report.options.request_rate > 0.0) {
    table += fmt::format(" of {:.2f} asked, {:.1f} ms late at p99", report.options.request_rate,
                         s.late_ms.p99);
  }
  table += fmt::format("; open at once: {:.1f} on average, {} at most\n", s.mean_concurrency,
                       s.max_concurrency);
  table += fmt::format("throughput: {:.2f} requests/s, {:.1f} output tokens/s, {:.1f} tokens/s\n",
                       s.request_rate, s.output_token_rate, s.total_token_rate);
  if (report.goodput.any()) {
    table += fmt::format("goodput: {:.2f} requests/s, {} of {}\n", s.good_rate, s.num_good,
                         s.num_ok + s.num_failed);
  }
  table += fmt::format("\n{:<10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}\n", "ms", "mean",
                       "median", "p90", "p95", "p99", "max");
  add_row(table, "TTFT", s.ttft);
  add_row(table, "TPOT", s.tpot);
  add_row(table, "ITL", s.itl);
  add_row(table, "E2EL", s.e2e);
  table += fmt::format("\nthis client: {:.0f} % of a core, event loop {:.2f} ms late at p99\n",
                       100.0 * report.cpu_share, report.loop_lag_ms.p99);
  return table;
}

Json record_json(const LoadRecord& record) {
  Json json = {{"index", record.index},
               {"due_s", record.due_s},
               {"sent_s", record.sent_s},
               {"end_s", record.end_s},
               {"e2el_ms", record.e2e_ms()},
               {"prompt_tokens", record.prompt_tokens},
               {"cached_tokens", record.cached_tokens},
               {"completion_tokens", record.completion_tokens},
               {"tokens_from_usage", record.tokens_from_usage},
               {"finish_reason", record.finish_reason},
               {"itl_ms", record.gaps_ms}};
  if (record.first_token_s >= 0.0) json["ttft_ms"] = record.ttft_ms();
  if (record.ok() && record.has_tpot()) json["tpot_ms"] = record.tpot_ms();
  if (!record.ok()) {
    json["failure"] = failure_kind_name(record.failure.kind);
    json["message"] = record.failure.message;
    if (record.failure.status != 0) json["status"] = record.failure.status;
    if (record.failure.retry_after_s) json["retry_after_s"] = *record.failure.retry_after_s;
  }
  return json;
}

}  // namespace glmoe::serve
