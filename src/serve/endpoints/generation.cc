#include "serve/endpoints/generation.h"

#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "serve/access_log.h"
#include "serve/api/api_error.h"
#include "serve/engine_streams.h"
#include "serve/http/async_event.h"
#include "serve/http/offload.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

// A stream's status line waits for its first delta, so that what fails at once has a status of its
// own; but not longer than this, for those who wait for headers.
constexpr std::chrono::milliseconds kFirstEventWait{1000};

// So many deltas leave together at most: a backlog goes out in pieces, and whoever does not read is
// noticed at the next one.
constexpr int kDeltasAFlush = 64;

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

HttpError cancelled_error(CancelReason reason) {
  if (reason == CancelReason::kShutdown) {
    return {.status = 503,
            .message = "the server is shutting down and its time for running requests is over",
            .code = "shutting_down",
            .retry_after_s = 5};
  }
  return {.status = 503,
          .message = "the request was cancelled by whoever runs this server",
          .code = "cancelled_by_admin"};
}

// One call on its way through the engine.
class Generation {
 public:
  Generation(EndpointContext& context, ResponseWriter& response,
             const asio::any_io_executor& strand)
      : context_(context),
        response_(response),
        streams_(strand, [this] { on_ready(); }),
        ended_(strand),
        arrived_(steady_clock::now()) {}
  ~Generation() { response_.on_cancel(nullptr); }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  asio::awaitable<void> read_and_submit(ReadCall read, const HttpRequest& request);
  asio::awaitable<void> pump();

 private:
  // What is known of one engine request beside its stream.
  struct Progress {
    RequestFacts facts;
    bool wants_prompt_logprobs = false;
    bool seen = false;
    bool has_token = false;
    std::vector<TimePoint> last_tokens;  // by answer
  };

  void on_ready();
  void take_deltas();
  void measure(Progress& progress, const OutputDelta& delta, const RequestMetrics& metrics,
               TimePoint now);
  void keep_alive();
  void send(const ServerEvents& events);
  void begin();
  void finish();
  void fail(const HttpError& error);
  void fill_notes();

  EndpointContext& context_;
  ResponseWriter& response_;
  EngineStreams streams_;
  AsyncEvent ended_;  // set where pump() has something to do but to wait
  TimePoint arrived_;
  TimePoint silent_since_;
  ApiCall call_;
  std::vector<Progress> progress_;
  std::exception_ptr problem_;  // of on_ready()
  bool pumping_ = false;        // deltas are taken as they come
};

// The whole of it on a worker: a long prompt takes long to parse, to render and to tokenise.
asio::awaitable<void> Generation::read_and_submit(ReadCall read, const HttpRequest& request) {
  LLM& llm = context_.engine.llm();
  std::vector<ResponseStream> submitted;
  std::function<void()> work = [&] {
    call_ = read(request.body, context_.engine.context());
    progress_.resize(call_.requests.size());
    submitted.reserve(call_.requests.size());
    for (size_t i = 0; i < call_.requests.size(); ++i) {
      Request& engine_request = call_.requests[i];
      progress_[i].wants_prompt_logprobs = engine_request.sampling.prompt_logprobs.has_value();
      if (context_.cache_salt_per_key && !request.key_id.empty()) {
        engine_request.cache_salt = request.key_id + ":" + engine_request.cache_salt;
      }
      submitted.push_back(llm.submit(std::move(engine_request)));
    }
  };
  co_await offload(context_.workers, std::move(work));
  for (const std::string& warning : call_.warnings) {
    log::warn("request {}: {}", request.request_id, printable(warning));
  }
  for (ResponseStream& stream : submitted) {
    std::string& ids = response_.notes().model_request_ids;
    if (streams_.size() < 8) ids += (ids.empty() ? "" : ",") + std::to_string(stream.request_id());
    streams_.add(std::move(stream));
  }
}

// Tokens do not pass here: on_ready() sends them while this waits for the end, or for silence.
asio::awaitable<void> Generation::pump() {
  response_.on_cancel([this] { ended_.set(); });
  std::optional<HttpError> failure;
  silent_since_ = steady_clock::now();
  pumping_ = true;
  on_ready();
  try {
    for (;;) {
      if (problem_) std::rethrow_exception(std::exchange(problem_, nullptr));
      if (response_.cancelled() != CancelReason::kNone || streams_.done()) break;
      const bool headless = call_.stream && !response_.started();
      const auto patience = headless ? kFirstEventWait : context_.keep_alive_interval;
      const TimePoint deadline = silent_since_ + patience;
      if (steady_clock::now() >= deadline) {
        keep_alive();
      } else {
        (void)co_await ended_.wait_until(deadline);
      }
    }
  } catch (const ApiError& error) {
    if (!error.log_detail.empty()) log::error("{}", printable(error.log_detail));
    failure = error.error;
  }
  pumping_ = false;
  const CancelReason reason = response_.cancelled();
  if (reason != CancelReason::kNone && reason != CancelReason::kClientGone) {
    failure = cancelled_error(reason);
  }
  if (!streams_.done()) {
    // Their own last deltas are not waited for: the engine drops them at its next step.
    streams_.cancel();
    context_.metrics.on_finished("cancelled", 0.0, seconds_between(arrived_, steady_clock::now()));
  }
  fill_notes();
  if (reason == CancelReason::kClientGone) co_return;
  if (failure) {
    fail(*failure);
  } else {
    finish();
  }
}

void Generation::keep_alive() {
  silent_since_ = steady_clock::now();
  if (!call_.stream) return;
  if (response_.started()) {
    const ServerEvents events = call_.writer->keep_alive();
    if (events.empty()) response_.comment("keep-alive");
    send(events);
  } else {
    begin();
  }
  response_.flush();
}

// On the connection's loop, whenever the engine has something for this call.
void Generation::on_ready() {
  if (!pumping_ || problem_ || response_.cancelled() != CancelReason::kNone) return;
  try {
    take_deltas();
  } catch (...) {
    problem_ = std::current_exception();
  }
  if (problem_ || streams_.done()) ended_.set();
}

void Generation::take_deltas() {
  const TimePoint now = steady_clock::now();
  size_t which = 0;
  OutputDelta delta;
  for (int taken = 1; streams_.try_next(which, delta); ++taken) {
    Progress& progress = progress_[which];
    const bool first = !std::exchange(progress.seen, true);
    RequestMetrics metrics;
    if (first || delta.request_finished) {
      metrics = streams_.stream(which).metrics();
      progress.facts.num_cached_tokens = metrics.num_cached_tokens;
      if (first && progress.wants_prompt_logprobs) {
        progress.facts.prompt_logprobs = streams_.stream(which).prompt_logprobs();
      }
    }
    measure(progress, delta, metrics, now);
    const ServerEvents events = call_.writer->feed(which, delta, progress.facts);
    if (call_.stream) {
      begin();
      send(events);
    }
    if (taken % kDeltasAFlush == 0) response_.flush();
    if (response_.cancelled() != CancelReason::kNone) return;
  }
  if (response_.started()) silent_since_ = now;
  // What the end adds leaves with the last tokens.
  if (!streams_.done()) response_.flush();
}

void Generation::measure(Progress& progress, const OutputDelta& delta,
                         const RequestMetrics& metrics, TimePoint now) {
  if (!delta.token_ids.empty()) {
    const auto answer = static_cast<size_t>(delta.index);
    if (progress.last_tokens.size() <= answer) progress.last_tokens.resize(answer + 1);
    TimePoint& last = progress.last_tokens[answer];
    if (last != TimePoint{}) {
      context_.metrics.on_tokens(seconds_between(last, now), delta.token_ids.size());
    }
    if (!std::exchange(progress.has_token, true)) {
      context_.metrics.on_first_token(seconds_between(arrived_, now));
    }
    last = now;
  }
  if (delta.request_finished) {
    context_.metrics.on_finished(finish_reason_name(delta.finish_reason), metrics.queue_ms / 1000.0,
                                 seconds_between(arrived_, now));
  }
}

void Generation::send(const ServerEvents& events) {
  for (const ServerEvent& event : events) {
    if (event.name.empty()) {
      response_.event(event.data);
    } else {
      response_.event(event.name, event.data);
    }
  }
}

void Generation::begin() {
  if (response_.started()) return;
  response_.begin_events();
  send(call_.writer->start());
}

void Generation::finish() {
  if (!call_.stream) {
    response_.send(200, "application/json", call_.writer->body());
    return;
  }
  begin();
  send(call_.writer->finish());
  response_.end_events();
}

void Generation::fail(const HttpError& error) {
  if (!response_.started()) {
    response_.send_error(error);
    return;
  }
  send(call_.writer->failure(error));
  response_.end_events();
}

void Generation::fill_notes() {
  const CallTotals totals = call_.writer->totals();
  RequestNotes& notes = response_.notes();
  notes.prompt_tokens = totals.prompt_tokens;
  notes.cached_tokens = totals.cached_tokens;
  notes.completion_tokens = totals.completion_tokens;
  notes.finish_reason = totals.finish_reason;
}

// A full queue empties by itself, and the client is asked to slow down; what fails for good is 503.
[[noreturn]] void refuse_submission(const LLM& llm, const Error& error) {
  HttpError answer = http_error_from(error);
  if (error.code() == ErrorCode::kUnavailable && llm.stats().failure.empty()) {
    answer.status = 429;
    answer.code = "queue_full";
  }
  std::string details = answer.status == 500 ? error.what() : "";
  throw ApiError(std::move(answer), std::move(details));
}

}  // namespace

asio::awaitable<void> run_generation(EndpointContext& context, ReadCall read,
                                     const HttpRequest& request, ResponseWriter& response) {
  require_json(request);
  if (response.cancelled() != CancelReason::kNone) co_return;  // left before we began
  const asio::any_io_executor strand = co_await asio::this_coro::executor;
  Generation generation(context, response, strand);
  try {
    co_await generation.read_and_submit(read, request);
  } catch (const Error& error) {
    refuse_submission(context.engine.llm(), error);
  }
  co_await generation.pump();
}

void require_json(const HttpRequest& request) {
  std::string_view type = request.header("content-type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  std::string lower(type);
  for (char& c : lower) c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c | 0x20) : c;
  if (lower == "application/json") return;
  throw ApiError(
      {.status = 415,
       .message = "Content-Type: application/json was wanted, found '" + std::string(type) + "'",
       .code = "content_type_unsupported"});
}

}  // namespace glmoe::serve
