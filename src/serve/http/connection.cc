#include "serve/http/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "serve/access_log.h"
#include "serve/api/api_error.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

TimePoint in(milliseconds delay) { return steady_clock::now() + delay; }

HttpError timed_out(const char* what, milliseconds limit) {
  return {.status = 408,
          .message = fmt::format("{} did not arrive within {} ms", what, limit.count()),
          .code = "request_timeout"};
}

// Runs a coroutine on its own, keeping `owner` until it has ended.
template <class F>
void run(const asio::any_io_executor& strand, std::shared_ptr<Connection> owner, F body,
         std::function<void()> done) {
  asio::co_spawn(strand, std::move(body),
                 [owner = std::move(owner), done = std::move(done)](std::exception_ptr failure) {
                   if (failure) {
                     try {
                       std::rethrow_exception(failure);
                     } catch (const std::exception& error) {
                       log::error("a connection was dropped: {}", printable(error.what()));
                     }
                   }
                   done();
                 });
}

// Tells the rest of the connection which answer is in work.
class ResponseInWork {
 public:
  ResponseInWork(Response*& slot, Response& response) : slot_(slot) { slot_ = &response; }
  ~ResponseInWork() { slot_ = nullptr; }
  ResponseInWork(const ResponseInWork&) = delete;
  ResponseInWork& operator=(const ResponseInWork&) = delete;

 private:
  Response*& slot_;
};

// The bytes of one request's body, counted with those of all others for as long as it lives.
class BodyShare {
 public:
  explicit BodyShare(HttpService& service) : service_(service) {}
  ~BodyShare() { give_back(); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  // False where all together would be more than may be: nothing of this body counts any longer, so
  // that a request which is refused never costs another its room.
  [[nodiscard]] bool grow_to(size_t num_bytes) {
    const size_t more = num_bytes - num_bytes_;
    std::atomic<size_t>& all = service_.buffered_body_bytes;
    for (size_t before = all.load();;) {
      if (more > 0 && before + more > service_.limits.max_buffered_body_bytes) {
        give_back();
        return false;
      }
      if (all.compare_exchange_weak(before, before + more)) break;
    }
    num_bytes_ = num_bytes;
    return true;
  }

 private:
  void give_back() { service_.buffered_body_bytes.fetch_sub(std::exchange(num_bytes_, 0)); }

  HttpService& service_;
  size_t num_bytes_ = 0;
};

}  // namespace

struct Connection::Exchange {
  explicit Exchange(HttpService& service) : parser(service.limits), share(service) {}
  HttpRequest request;
  RequestParser parser;
  BodyShare share;
  Admission admission;
  std::optional<HttpError> problem;  // while it was read
  bool body_read = false;
  TimePoint begin{};
};

Connection::Connection(std::unique_ptr<Transport> transport, HttpService& service, std::string peer)
    : transport_(std::move(transport)),
      service_(service),
      peer_(std::move(peer)),
      input_(*transport_, service.limits.max_header_bytes + (size_t{16} << 10)),
      output_(*transport_, service.limits.write_timeout) {}

void Connection::start(std::function<void()> done) {
  output_.start(weak_from_this(), [this] { on_gone(); });
  run(
      transport_->strand(), shared_from_this(), [this] { return serve(); }, std::move(done));
}

void Connection::start_refusing(std::string code, std::string message, std::function<void()> done) {
  output_.start(weak_from_this(), nullptr);
  HttpError error{
      .status = 503, .message = std::move(message), .code = std::move(code), .retry_after_s = 1};
  run(
      transport_->strand(), shared_from_this(),
      [this, error = std::move(error)] { return refuse(error); }, std::move(done));
}

void Connection::drain() {
  asio::post(transport_->strand(), [self = shared_from_this()] {
    self->draining_ = true;
    if (self->idle_) self->output_.fail();
  });
}

void Connection::abort() {
  asio::post(transport_->strand(), [self = shared_from_this()] { self->output_.fail(); });
}

void Connection::on_gone() {
  if (response_ != nullptr) response_->cancel(CancelReason::kClientGone);
}

asio::awaitable<void> Connection::refuse(HttpError error) {
  if (!co_await handshake()) co_return;
  input_.start(shared_from_this(), nullptr);
  Response response(output_, {.keep_alive = false, .headers = {{"Server", service_.server_name}}});
  response.send_error(error);
  co_await linger();
}

asio::awaitable<bool> Connection::handshake() {
  AsyncEvent finished(transport_->strand());
  bool worked = false, ended = false;
  transport_->handshake([&, self = shared_from_this()](boost::system::error_code error, size_t) {
    worked = !error;
    ended = true;
    finished.set();
  });
  if (!co_await finished.wait_until(in(service_.limits.header_timeout))) {
    transport_->close();
    while (!ended) co_await finished.wait_until(TimePoint::max());
    worked = false;
  }
  if (!worked) output_.fail();
  co_return worked;
}

asio::awaitable<void> Connection::serve() {
  if (!co_await handshake()) co_return;
  input_.start(shared_from_this(), [this] { on_gone(); });
  for (bool first = true;; first = false) {
    if (!co_await serve_one(first)) break;
  }
  co_await linger();
}

// Cancels the request that is in work now, from any thread, and none that comes after it.
InFlight::Cancel Connection::canceller() {
  return [weak = weak_from_this(), number = ++exchange_number_,
          strand = transport_->strand()](CancelReason reason) {
    asio::post(strand, [weak, number, reason] {
      const auto self = weak.lock();
      if (!self || self->response_ == nullptr || self->exchange_number_ != number) return;
      self->response_->cancel(reason);
    });
  };
}

// True where another request may follow.
asio::awaitable<bool> Connection::serve_one(bool first) {
  Exchange exchange(service_);
  bool complete = false;
  try {
    complete = co_await read_head(exchange, first);
    if (!complete) co_return false;
    exchange.admission = admit(service_, exchange.request);
    exchange.request.path_rest = exchange.admission.path_rest;
    exchange.request.key_id = exchange.admission.key_id;
    if (exchange.admission.route != nullptr) co_await read_body(exchange);
  } catch (const RequestProblem& problem) {
    exchange.problem = problem.error;
  }
  if (input_.ended() && !exchange.problem && !exchange.body_read &&
      exchange.admission.route != nullptr) {
    co_return false;  // the client left in the middle of its body
  }
  Response response(output_, form_of(exchange));
  {
    const ResponseInWork in_work(response_, response);
    // A client that has closed its side still gets what is at hand, but no long work is begun.
    if (input_.ended() || output_.failed()) response.cancel(CancelReason::kClientGone);
    const InFlight::Ticket ticket(service_.in_flight,
                                  service_.in_flight.add(exchange.request.request_id, canceller()));
    co_await answer(exchange, response);
    co_await output_.drained();
  }
  record(exchange, response);
  co_return response.keep_alive() && !output_.failed() && !draining_ && !service_.draining.load();
}

// False where the connection is over: closed, or idle for too long.
asio::awaitable<bool> Connection::read_head(Exchange& exchange, bool first) {
  const HttpLimits& limits = service_.limits;
  // Some clients end a body with a line break too many.
  const auto skip_line_breaks = [this] {
    while (input_.data().starts_with("\r\n")) input_.consume(2);
  };
  skip_line_breaks();
  // A client that has just connected still gets an answer while we drain.
  idle_ = !first && input_.data().empty();
  if (idle_ && draining_) co_return false;
  const TimePoint idle_deadline = in(first ? limits.header_timeout : limits.idle_timeout);
  while (input_.data().empty()) {
    if (input_.ended() || !co_await input_.wait_until(idle_deadline)) co_return false;
    skip_line_breaks();
  }
  idle_ = false;
  exchange.begin = steady_clock::now();
  exchange.request.peer = peer_;
  exchange.request.request_id = request_id_from({});
  const TimePoint deadline = in(limits.header_timeout);
  for (;;) {
    if (const std::optional<size_t> length = find_head(input_.data(), limits)) {
      exchange.parser.parse_head(input_.data().substr(0, *length), exchange.request);
      input_.consume(*length);
      exchange.request.request_id = request_id_from(exchange.request.header("x-request-id"));
      co_return true;
    }
    if (input_.ended()) co_return false;
    if (!co_await input_.wait_until(deadline)) {
      throw RequestProblem{timed_out("the request's head", limits.header_timeout)};
    }
  }
}

asio::awaitable<void> Connection::read_body(Exchange& exchange) {
  RequestParser& parser = exchange.parser;
  const HttpLimits& limits = service_.limits;
  const TimePoint begin = steady_clock::now();
  if (parser.framing().expects_continue && input_.data().empty() && !parser.body_done()) {
    output_.append(std::string_view("HTTP/1.1 100 Continue\r\n\r\n"));
    output_.flush();
  }
  for (;;) {
    const size_t used = parser.parse_body(input_.data());
    if (used > 0) input_.consume(used);
    if (!exchange.share.grow_to(parser.body_bytes())) {
      (void)parser.take_body();
      throw RequestProblem{{.status = 503,
                            .message = "the server holds as many bytes of requests as it takes",
                            .code = "too_many_bodies",
                            .retry_after_s = 1}};
    }
    if (parser.body_done()) break;
    if (used > 0 && !input_.data().empty()) continue;
    if (input_.ended()) co_return;
    if (input_.full()) {
      throw RequestProblem{{.status = 400,
                            .message = "a chunk's header or the trailer is too long",
                            .code = "bad_chunk"}};
    }
    milliseconds allowed = limits.body_timeout;
    if (limits.min_body_bytes_per_s > 0) {
      allowed += milliseconds(parser.body_bytes() * 1000 / limits.min_body_bytes_per_s);
    }
    if (!co_await input_.wait_until(begin + allowed)) {
      throw RequestProblem{timed_out("the request's body", allowed)};
    }
  }
  exchange.request.body = parser.take_body();
  exchange.body_read = true;
}

ResponseForm Connection::form_of(const Exchange& exchange) const {
  const Framing& framing = exchange.parser.framing();
  const bool has_body = framing.chunked || framing.content_length > 0;
  const bool body_unread = has_body && !exchange.body_read;
  ResponseForm form{
      .http_minor = exchange.parser.http_minor(),
      .head_only = exchange.request.method == "HEAD",
      .keep_alive = framing.keep_alive && !exchange.problem && !body_unread && !draining_ &&
                    !service_.draining.load(),
      .error_style = exchange.admission.error_style,
      .headers = {{"Server", service_.server_name}, {"X-Request-Id", exchange.request.request_id}},
      .max_unsent_bytes = service_.limits.max_unsent_bytes};
  for (auto& header : cors_headers(service_, exchange.request)) {
    form.headers.push_back(std::move(header));
  }
  return form;
}

void Connection::answer_preflight(const Exchange& exchange, Response& response) {
  const std::string& allow = exchange.admission.allow;
  Headers headers = {{"Allow", allow.empty() ? "GET, HEAD, OPTIONS, POST" : allow}};
  if (!exchange.request.header("access-control-request-method").empty()) {
    headers.emplace_back("Access-Control-Allow-Methods", allow);
    headers.emplace_back("Access-Control-Allow-Headers",
                         "Authorization, Content-Type, X-Api-Key, X-Request-Id, "
                         "Anthropic-Version, Anthropic-Beta");
    headers.emplace_back("Access-Control-Max-Age", "600");
  }
  response.send(204, "", "", headers);
}

asio::awaitable<void> Connection::answer(Exchange& exchange, Response& response) {
  if (exchange.problem) {
    response.send_error(*exchange.problem);
  } else if (exchange.admission.preflight) {
    answer_preflight(exchange, response);
  } else if (exchange.admission.route == nullptr) {
    response.send_error(exchange.admission.error);
  } else {
    co_await run_handler(exchange, response);
  }
}

asio::awaitable<void> Connection::run_handler(const Exchange& exchange, Response& response) {
  std::optional<HttpError> failure;
  std::string detail;
  try {
    co_await exchange.admission.route->handler(exchange.request, response);
  } catch (const ApiError& error) {
    failure = error.error;
    detail = error.log_detail;
  } catch (const Error& error) {
    failure = http_error_from(error);
    if (failure->status == 500) detail = error.what();
  } catch (const std::exception& error) {
    failure = http_error_from(Error(ErrorCode::kInternal, ""));
    detail = error.what();
  }
  if (!detail.empty()) {
    log::error("request {}: {}", exchange.request.request_id, printable(detail));
  }
  if (failure && !response.started()) response.send_error(*failure);
  if (!response.started() && response.cancelled() == CancelReason::kNone) {
    log::error("request {}: its handler gave no answer", exchange.request.request_id);
    response.send_error(http_error_from(Error(ErrorCode::kInternal, "")));
  }
  response.finish();
}

void Connection::record(const Exchange& exchange, const Response& response) {
  if (!service_.on_request) return;
  const Route* route = exchange.admission.route;
  RequestRecord record{
      .request_id = exchange.request.request_id,
      .key_id = exchange.request.key_id,
      .peer = peer_,
      .method = exchange.request.method,
      .route = route != nullptr ? route->path : std::string(),
      .path = exchange.request.path.substr(0, 256),
      .status = response.started() ? response.status() : 499,
      .ms = std::chrono::duration<double, std::milli>(steady_clock::now() - exchange.begin).count(),
      .body_bytes = exchange.request.body.size(),
      .error_code = response.error_code(),
      .cancelled = response.cancelled(),
      .notes = response.notes()};
  service_.on_request(record);
}

// What we refuse early is often still being sent: closing now would make the client's system drop
// our answer with the connection. So what comes is thrown away for a while.
asio::awaitable<void> Connection::linger() {
  co_await output_.drained();
  if (!output_.failed() && !input_.ended()) {
    transport_->shutdown_send(shared_from_this());
    const TimePoint deadline = in(service_.limits.linger_timeout);
    while (!input_.ended()) {
      if (!input_.data().empty()) input_.consume(input_.data().size());
      if (!co_await input_.wait_until(deadline)) break;
    }
  }
  output_.fail();
}

}  // namespace glmoe::serve
