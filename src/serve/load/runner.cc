#include "serve/load/runner.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <utility>

#include "base/error.h"
#include "serve/http/async_event.h"
#include "serve/load/answer_sink.h"
#include "serve/load/arrivals.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

// Without a number of requests, so many prompts are made; the load takes them again after that.
constexpr int64_t kMostPrompts = 1000;
constexpr std::chrono::milliseconds kTick{10};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Runner {
 public:
  Runner(asio::io_context& io, HttpClient& client, Workload& workload, const LoadOptions& options,
         uint64_t seed, const std::atomic<bool>& stop,
         const std::function<void(const LoadProgress&)>& progress)
      : io_(io),
        client_(client),
        workload_(workload),
        options_(options),
        seed_(seed),
        stop_(stop),
        progress_(progress),
        changed_(io.get_executor()) {}

  asio::awaitable<void> run() {
    const int64_t count = options_.num_requests > 0 ? options_.num_requests : kMostPrompts;
    co_await workload_.prepare(client_, count + options_.warmup);
    asio::co_spawn(io_, tick(), [](const std::exception_ptr&) {});
    // Warm-up takes the prompts behind those of the measurement, so that no prefix of the latter
    // is in the cache.
    LoadOptions warmup = options_;
    warmup.num_requests = options_.warmup;
    warmup.request_rate = warmup.duration_s = 0.0;
    warmup.concurrency = std::max<int64_t>(options_.concurrency, 1);
    if (options_.warmup > 0) co_await send(warmup, count);
    check_warmup();
    records_.clear();
    lags_ms_.clear();
    counts_ = {};
    const double cpu_before = cpu_seconds();
    co_await send(options_, 0);
    const double wall = std::chrono::duration<double>(steady_clock::now() - start_).count();
    cpu_share_ = (cpu_seconds() - cpu_before) / wall;
  }

  LoadOutcome outcome() {
    LoadOutcome outcome;
    outcome.records.assign(std::make_move_iterator(records_.begin()),
                           std::make_move_iterator(records_.end()));
    outcome.interrupted = stop_.load();
    outcome.prompts = workload_.origin();
    outcome.loop_lag_ms = distribution_of(lags_ms_);
    outcome.cpu_share = cpu_share_;
    return outcome;
  }

 private:
  // A server that answers no request of the warm-up would not answer a measurement either.
  void check_warmup() const {
    const bool all_failed = std::none_of(records_.begin(), records_.end(),
                                         [](const LoadRecord& record) { return record.ok(); });
    if (records_.empty() || !all_failed || stop_.load()) return;
    Failure failure = records_.front().failure;
    failure.message = "every request of the warm-up failed: " + failure.message;
    throw RequestFailed(std::move(failure));
  }

  bool limit_reached(const LoadOptions& options) const {
    return options.concurrency > 0 && open_ >= options.concurrency;
  }

  asio::awaitable<void> send(const LoadOptions& options, int64_t first_prompt) {
    Arrivals arrivals({options.request_rate, options.burstiness, seed_});
    start_ = steady_clock::now();
    const auto at = [&](double seconds) {
      return start_ + std::chrono::duration_cast<steady_clock::duration>(
                          std::chrono::duration<double>(seconds));
    };
    const ClientTime end = options.duration_s > 0.0 ? at(options.duration_s) : ClientTime::max();
    for (int64_t i = 0; options.num_requests == 0 || i < options.num_requests; ++i) {
      const double due_s = arrivals.next();
      const ClientTime due = std::min(at(due_s), end);
      while (!stop_.load() && steady_clock::now() < due) (void)co_await changed_.wait_until(due);
      while (!stop_.load() && limit_reached(options) && steady_clock::now() < end) {
        (void)co_await changed_.wait_until(end);
      }
      if (stop_.load() || steady_clock::now() >= end) break;
      LoadRecord& record = records_.emplace_back();
      record.index = i;
      record.sent_s = std::chrono::duration<double>(steady_clock::now() - start_).count();
      record.due_s = options.request_rate > 0.0 ? due_s : record.sent_s;
      ++open_;
      ++counts_.sent;
      asio::co_spawn(io_, one(record, first_prompt + i), [](const std::exception_ptr& problem) {
        if (problem) std::rethrow_exception(problem);
      });
    }
    while (open_ > 0) (void)co_await changed_.wait_until(ClientTime::max());
  }

  asio::awaitable<void> one(LoadRecord& record, int64_t prompt) {
    AnswerSink sink(record, start_);
    const ClientRequest request{
        .method = "POST", .target = workload_.target(), .body = workload_.body(prompt)};
    try {
      co_await client_.exchange(request, sink);
      sink.finish(steady_clock::now());
    } catch (const RequestFailed& error) {
      record.failure = error.failure();
    } catch (const Error& error) {  // an event beyond all limits
      record.failure = {.kind = FailureKind::kProtocol, .message = error.what()};
    }
    if (!record.ok()) {
      record.end_s = std::chrono::duration<double>(steady_clock::now() - start_).count();
      ++counts_.failed;
    }
    ++counts_.finished;
    --open_;
    changed_.set();
  }

  // Measures how late the loop is, shows progress and notices `stop`; ends with the io_context.
  asio::awaitable<void> tick() {
    asio::steady_timer timer(io_);
    for (int64_t i = 1;; ++i) {
      timer.expires_after(kTick);
      co_await timer.async_wait(asio::use_awaitable);
      lags_ms_.push_back(
          std::chrono::duration<double, std::milli>(steady_clock::now() - timer.expiry()).count());
      if (stop_.load()) changed_.set();
      if (i % 100 == 0 && progress_) progress_(counts_);
    }
  }

  asio::io_context& io_;
  HttpClient& client_;
  Workload& workload_;
  const LoadOptions& options_;
  uint64_t seed_;
  const std::atomic<bool>& stop_;
  const std::function<void(const LoadProgress&)>& progress_;
  AsyncEvent changed_;
  ClientTime start_;
  std::deque<LoadRecord> records_;  // requests in work refer to their own
  std::vector<double> lags_ms_;
  LoadProgress counts_;
  int64_t open_ = 0;
  double cpu_share_ = 0.0;
};

}  // namespace

LoadOutcome run_load(const HttpClientOptions& client_options, const WorkloadOptions& workload,
                     const LoadOptions& options, const std::atomic<bool>& stop,
                     const std::function<void(const LoadProgress&)>& progress) {
  Workload requests(workload);
  asio::io_context io(1);
  HttpClient client(io, client_options);
  Runner runner(io, client, requests, options, workload.seed, stop, progress);
  try {
    run_client(
        io, client, [&] { return runner.run(); }, &stop);
  } catch (const RequestFailed& error) {
    if (error.failure().kind != FailureKind::kCancelled) throw;
  }
  return runner.outcome();
}

}  // namespace glmoe::serve
