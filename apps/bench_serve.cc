// glmoe bench serve: load against any OpenAI-compatible server, measured from outside.
//
// Exit status: 0 where at least one request succeeded, 1 where all failed, 2 a wrong flag, 130
// after ctrl-C (what was measured until then is printed).
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <memory>

#include "apps/bench.h"
#include "apps/client_flags.h"
#include "apps/command.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "serve/load/report.h"
#include "serve/load/runner.h"

namespace glmoe::apps {
namespace {

struct ServeBench {
  ClientFlags server;
  serve::WorkloadOptions workload;
  serve::LoadOptions load;
  std::string endpoint = "chat", request_rate, goodput, save_file;
  bool fixed_rate = false, json = false;
};

std::atomic<bool> interrupted{false};

// A second ctrl-C ends the program at once.
void on_interrupt(int) {
  interrupted.store(true);
  std::signal(SIGINT, SIG_DFL);
}

double parse_rate(const std::string& text) {
  if (text.empty() || text == "inf") return 0.0;
  size_t end = 0;
  double rate = 0.0;
  try {
    rate = std::stod(text, &end);
  } catch (const std::exception&) {
  }
  if (end != text.size() || !(rate > 0.0 && rate <= 1e6)) {
    fail_argument("--request_rate is '{}': requests a second up to 1000000, or inf, were wanted",
                  text);
  }
  return rate;
}

void check(ServeBench& bench) {
  if (bench.endpoint != "chat" && bench.endpoint != "completions") {
    fail_argument("--endpoint '{}' is unknown: use chat or completions", bench.endpoint);
  }
  bench.workload.chat = bench.endpoint == "chat";
  bench.load.request_rate = parse_rate(bench.request_rate);
  if (bench.fixed_rate) bench.load.burstiness = 0.0;
  if (bench.fixed_rate && bench.load.request_rate == 0.0) {
    fail_argument("--fixed_rate: a --request_rate is wanted with it");
  }
  constexpr int64_t kDefaultConcurrency = 16;
  if (bench.request_rate.empty() && bench.load.concurrency == 0) {
    bench.load.concurrency = kDefaultConcurrency;
  }
  constexpr int64_t kDefaultRequests = 100;
  if (bench.load.num_requests == 0 && bench.load.duration_s == 0.0) {
    bench.load.num_requests = kDefaultRequests;
  }
  if (bench.load.num_requests == 0 && bench.load.request_rate == 0.0 &&
      bench.load.concurrency == 0) {
    fail_argument("--request_rate inf sends all at once: --num_requests is wanted with it");
  }
}

void show_progress(const serve::LoadProgress& progress) {
  std::fprintf(stderr, "\r\x1b[2Ksent %lld, answered %lld, failed %lld",
               static_cast<long long>(progress.sent),
               static_cast<long long>(progress.finished - progress.failed),
               static_cast<long long>(progress.failed));
}

void save_records(const std::string& path, const std::vector<serve::LoadRecord>& records) {
  std::string lines;
  for (const serve::LoadRecord& record : records) {
    lines += serve::record_json(record).dump(-1, ' ', false, Json::error_handler_t::replace);
    lines += '\n';
  }
  write_text_file_atomically(path, lines);
}

int run(ServeBench& bench) {
  check(bench);
  const serve::Goodput goodput = serve::parse_goodput(bench.goodput, "--goodput");
  const serve::HttpClientOptions client = client_options(bench.server);
  bench.workload.model = model_of(bench.server, client);
  std::signal(SIGINT, on_interrupt);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const auto outcome = server_call([&] {
    return serve::run_load(client, bench.workload, bench.load, interrupted,
                           terminal ? show_progress : nullptr);
  });
  if (terminal) std::fputs("\r\x1b[2K", stderr);
  if (!bench.save_file.empty()) save_records(bench.save_file, outcome.records);
  const serve::LoadReport report = serve::make_report(outcome, bench.load, goodput);
  if (const std::string warning = serve::client_warning(report); !warning.empty()) {
    log::warn("{}", warning);
  }
  if (bench.json) {
    Json json = serve::report_json(report);
    json["base_url"] = client.url.text();
    json["model"] = bench.workload.model;
    json["endpoint"] = bench.endpoint;
    print_json(json);
  } else {
    std::printf("%s at %s, %s", bench.workload.model.c_str(), client.url.text().c_str(),
                serve::report_table(report).c_str());
  }
  if (outcome.interrupted) return 130;
  return report.summary.num_ok > 0 ? 0 : 1;
}

void add_load_flags(CLI::App& command, serve::LoadOptions& load, ServeBench& bench) {
  constexpr int64_t kMany = 100'000'000;
  command.add_option("--request_rate", bench.request_rate,
                     "Open loop: so many requests a second, or inf: all at once");
  command
      .add_option("--burstiness", load.burstiness,
                  "Of the open loop's gaps: 1 a Poisson process, less comes in bursts, more evenly")
      ->check(CLI::Range(0.001, 1000.0))
      ->capture_default_str();
  command.add_flag("--fixed_rate", bench.fixed_rate, "All gaps of the open loop are the same");
  command
      .add_option("--concurrency", load.concurrency,
                  "Open requests at most; without --request_rate a closed loop [16]")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000}));
  command.add_option("--num_requests", load.num_requests, "[100, or what --duration allows]")
      ->check(CLI::Range(int64_t{1}, kMany));
  command.add_option("--duration", load.duration_s, "Seconds after which no request is sent")
      ->check(CLI::Range(0.001, 1e7));
  command.add_option("--warmup", load.warmup, "Requests before, which are not measured")
      ->check(CLI::Range(int64_t{0}, kMany));
}

void add_workload_flags(CLI::App& command, serve::WorkloadOptions& workload) {
  constexpr int64_t kMany = 100'000'000;
  const CLI::Range tokens(int64_t{1}, kMany);
  CLI::Option* file = command.add_option(
      "--dataset", workload.file,
      "JSON lines with prompt or messages and max_tokens, or ShareGPT's JSON [random text]");
  command.add_option("--input_len", workload.input_len, "Tokens of a random message")
      ->check(tokens)
      ->capture_default_str()
      ->excludes(file);
  command
      .add_option_function<int64_t>(
          "--output_len",
          [&workload](const int64_t& length) {
            workload.output_len = length;
            workload.file_output_len = length;
          },
          "Tokens of an answer [128; a dataset's own]")
      ->check(tokens);
  command
      .add_option("--range_ratio", workload.range_ratio,
                  "Random lengths are uniform from len * (1 - ratio) to len * (1 + ratio)")
      ->check(CLI::Range(0.0, 1.0))
      ->excludes(file);
  command.add_option("--prefix_len", workload.prefix_len, "Tokens that prompts share in front")
      ->check(CLI::Range(int64_t{0}, kMany))
      ->excludes(file);
  command.add_option("--num_prefixes", workload.num_prefixes, "Different shared beginnings")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000}))
      ->capture_default_str();
  command.add_flag_function(
      "--ignore_eos,!--no_ignore_eos",
      [&workload](int64_t count) { workload.ignore_eos = count > 0; },
      "Answers of full length [for random text]");
  command.add_option("--temperature", workload.temperature, "[the server's default]");
  command.add_option("--extra_body", workload.extra_body, "JSON object merged into every request");
  command.add_option("--seed", workload.seed, "Of texts, lengths and arrivals")
      ->capture_default_str();
}

}  // namespace

void add_bench_serve(CLI::App& bench) {
  auto options = std::make_shared<ServeBench>();
  CLI::App* command =
      bench.add_subcommand("serve", "Load against an OpenAI-compatible server (docs/serving.md)");
  add_client_flags(*command, options->server);
  command->add_option("--endpoint", options->endpoint, "chat or completions")
      ->capture_default_str();
  add_load_flags(*command, options->load, *options);
  add_workload_flags(*command, options->workload);
  command->add_option("--goodput", options->goodput,
                      "Count requests that keep all of ttft_ms:200,tpot_ms:30,e2el_ms:5000");
  command->add_flag("--json", options->json, "One JSON object");
  command->add_option("--save", options->save_file, "File for one JSON line a request");
  command->callback([options] {
    const int status = run(*options);
    if (status != 0) throw CLI::RuntimeError(status);
  });
}

}  // namespace glmoe::apps
