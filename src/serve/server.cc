#include "serve/server.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "serve/access_log.h"
#include "serve/endpoints/endpoints.h"
#include "serve/engine_slot.h"
#include "serve/http/http_service.h"
#include "serve/http/listener.h"
#include "serve/web/web_routes.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPollInterval{20};      // while draining
constexpr milliseconds kEngineCheck{500};      // whether a device was lost
constexpr milliseconds kLastWords{5'000};      // for the error events of cancelled requests
constexpr milliseconds kAbortPatience{5'000};  // for handlers to notice that all is closed

bool is_loopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  return error ? host == "localhost" : address.is_loopback();
}

}  // namespace

struct Server::Impl {
  explicit Impl(const ServerOptions& server_options);
  ~Impl();

  void read_keys();
  void bind();
  void add_routes();
  void log_request(const RequestRecord& record);
  void shut_down();
  void stop(Outcome with);
  void poll_drain();
  void watch_engine();
  void await_signal();

  ServerOptions options;
  ServerMetrics metrics;
  EngineSlot engine;
  asio::thread_pool workers;
  HttpService data, admin;
  EndpointContext endpoints;
  std::optional<TlsContext> tls;

  IoLoops loops;
  IoLoops::Executor strand{loops.main()};  // of what follows
  std::unique_ptr<Listener> data_listener, admin_listener;
  asio::steady_timer drain_timer{strand};
  asio::steady_timer engine_timer{strand};
  asio::signal_set signals{strand};
  std::function<void(bool)> on_abort;
  bool shutting_down = false;
  bool cancelled = false;
  std::optional<Outcome> forced_outcome;
  steady_clock::time_point drain_deadline;
  bool stopped = false;
  std::promise<Outcome> outcome;
  bool started = false;  // by the owner's thread
};

Server::Impl::Impl(const ServerOptions& server_options)
    : options(server_options),
      metrics(server_options.expert_metrics),
      workers(static_cast<size_t>(server_options.num_workers)),
      endpoints{.engine = engine,
                .metrics = metrics,
                .workers = workers,
                .in_flight = data.in_flight,
                .drain = [this] { asio::post(strand, [this] { shut_down(); }); },
                .version = server_options.version,
                .cache_salt_per_key = server_options.cache_salt_per_key,
                .keep_alive_interval = server_options.keep_alive_interval},
      loops(server_options.num_io_threads) {
  read_keys();
  data.limits = admin.limits = options.limits;
  data.cors_origins = options.cors_origins;
  data.on_request = admin.on_request = [this](const RequestRecord& record) { log_request(record); };
  data.on_rejected_connection = admin.on_rejected_connection = [this](std::string_view reason) {
    metrics.on_rejected(reason);
  };
  add_routes();
  bind();
}

void Server::Impl::read_keys() {
  for (const std::string& key : options.api_keys) data.keys.add(key, options.api_key_source);
  if (!options.api_key_file.empty()) data.keys.add_file(options.api_key_file);
  if (!options.admin_api_key.empty()) {
    admin.keys.add(options.admin_api_key, options.admin_api_key_source);
  }
  if (options.admin && admin.keys.empty() && !is_loopback(options.admin_host)) {
    fail_argument(
        "--admin_host {}: an admin port that other machines reach needs --admin_api_key, or stay "
        "with 127.0.0.1",
        options.admin_host);
  }
  if (options.ssl_certificate_file.empty() != options.ssl_key_file.empty()) {
    fail_argument("--ssl_certfile and --ssl_keyfile belong together: give both or none");
  }
}

void Server::Impl::add_routes() {
  add_health_routes(data.router, endpoints);
  add_metrics_route(data.router, endpoints, Access::kApi);
  add_api_routes(data.router, endpoints);
  add_web_routes(data.router, {.chat = true, .experts_path = options.expert_view ? "experts" : ""});
  if (options.expert_view) add_expert_route(data.router, endpoints, "/experts", Access::kApi);
  add_health_routes(admin.router, endpoints);
  add_metrics_route(admin.router, endpoints, Access::kAdmin);
  add_admin_routes(admin.router, endpoints);
  add_web_routes(admin.router, {.chat = false, .experts_path = "admin/experts"});
}

void Server::Impl::bind() {
  if (!options.ssl_certificate_file.empty()) {
    tls.emplace(options.ssl_certificate_file, options.ssl_key_file);
  }
  data_listener = std::make_unique<Listener>(
      loops, Listener::Address{options.host, options.port, options.uds_path}, data,
      tls ? &*tls : nullptr);
  if (!options.admin) return;
  admin_listener = std::make_unique<Listener>(
      loops, Listener::Address{options.admin_host, options.admin_port, ""}, admin, nullptr);
}

void Server::Impl::log_request(const RequestRecord& record) {
  metrics.on_request(record);
  if (!options.log_requests) return;
  // Probes and scrapes come every few seconds and say nothing when they go well.
  const bool probe = (record.status == 200 || record.status == 304) && record.method != "POST";
  const std::string line = options.log_json ? access_json(record) : access_line(record);
  if (probe) {
    log::debug("{}", line);
  } else {
    log::info("{}", line);
  }
}

// On the strand, as all below.
void Server::Impl::shut_down() {
  if (shutting_down) {
    if (on_abort) on_abort(false);
    return;
  }
  const bool loading = engine.phase() == Phase::kLoading || engine.phase() == Phase::kWarmingUp;
  if (loading && on_abort) {
    on_abort(true);
    return;
  }
  shutting_down = true;
  engine.set_phase(Phase::kDraining);
  data.draining = true;
  log::info("shutting down: {} requests in work, at most {} ms for them", data.in_flight.size(),
            options.shutdown_timeout.count());
  drain_deadline = steady_clock::now() + options.shutdown_timeout;
  data_listener->drain();
  poll_drain();
}

void Server::Impl::poll_drain() {
  const auto now = steady_clock::now();
  const size_t in_work = data.in_flight.size();
  if (in_work == 0) {
    stop(forced_outcome.value_or(cancelled ? Outcome::kTimedOut : Outcome::kDrained));
    return;
  }
  if (now >= drain_deadline) {
    if (cancelled) {  // their clients do not take even the error
      stop(forced_outcome.value_or(Outcome::kTimedOut));
      return;
    }
    log::warn("{} requests still run after {} ms: they are ended with an error", in_work,
              options.shutdown_timeout.count());
    cancelled = true;
    data.in_flight.cancel_all(CancelReason::kShutdown);
    drain_deadline = now + kLastWords;
  }
  drain_timer.expires_after(kPollInterval);
  drain_timer.async_wait([this](boost::system::error_code error) {
    if (!error) poll_drain();
  });
}

void Server::Impl::stop(Outcome with) {
  if (std::exchange(stopped, true)) return;
  engine_timer.cancel();
  signals.cancel();
  data_listener->stop_accepting();
  if (admin_listener) admin_listener->stop_accepting();
  outcome.set_value(with);
}

void Server::Impl::watch_engine() {
  engine_timer.expires_after(kEngineCheck);
  engine_timer.async_wait([this](boost::system::error_code error) {
    if (error || stopped) return;
    const LLM* llm = engine.llm_or_null();
    const std::string failure = llm != nullptr ? llm->stats().failure : std::string();
    if (failure.empty()) {
      watch_engine();
      return;
    }
    // Readiness goes first; then what is in work ends by itself, with the engine's error.
    engine.set_phase(Phase::kFailed);
    log::error("the engine has failed: {}", failure);
    forced_outcome = Outcome::kFailed;
    if (!shutting_down) shut_down();
  });
}

void Server::Impl::await_signal() {
  signals.async_wait([this](boost::system::error_code error, int) {
    if (error) return;
    shut_down();
    await_signal();
  });
}

Server::Impl::~Impl() {
  asio::post(strand, [this] { stop(Outcome::kTimedOut); });
  if (started) {
    // Handlers hold streams of the engine, so they end before the loops do.
    const auto deadline = steady_clock::now() + kAbortPatience;
    while (data.num_connections.load() + admin.num_connections.load() > 0 &&
           steady_clock::now() < deadline) {
      data_listener->abort_connections();
      if (admin_listener) admin_listener->abort_connections();
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  loops.stop();
  workers.join();
}

Server::Server(const ServerOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Server::~Server() = default;

Router& Server::router() { return impl_->data.router; }

void Server::start() {
  impl_->data_listener->start();
  if (impl_->admin_listener) impl_->admin_listener->start();
  impl_->loops.start();
  impl_->started = true;
}

void Server::set_engine(LLM& llm, ApiContext context) {
  impl_->engine.set(llm, std::move(context));
  impl_->metrics.set_engine(&llm);
  // Readiness means that a token was generated, not that a file was read.
  const RequestOutput output = llm.generate(Prompt(std::vector<int32_t>{0}),
                                            SamplingParams{.max_tokens = 1, .temperature = 0.0f});
  const CompletionOutput& answer = output.outputs.at(0);
  if (answer.finish_reason == FinishReason::kError) {
    fail(ErrorCode::kInternal, "the model does not answer: {}", answer.error);
  }
  set_ready();
  asio::post(impl_->strand, [impl = impl_.get()] { impl->watch_engine(); });
}

void Server::set_ready() { impl_->engine.set_phase(Phase::kReady); }

Server::Outcome Server::wait() { return impl_->outcome.get_future().get(); }

void Server::shut_down() {
  asio::post(impl_->strand, [impl = impl_.get()] { impl->shut_down(); });
}

void Server::handle_signals(std::function<void(bool loading)> on_abort) {
  impl_->on_abort = std::move(on_abort);
  impl_->signals.add(SIGTERM);
  impl_->signals.add(SIGINT);
  impl_->await_signal();
}

std::string Server::url() const { return impl_->data_listener->url(); }
uint16_t Server::port() const { return impl_->data_listener->port(); }
std::string Server::admin_url() const {
  return impl_->admin_listener ? impl_->admin_listener->url() : std::string();
}
uint16_t Server::admin_port() const {
  return impl_->admin_listener ? impl_->admin_listener->port() : 0;
}
size_t Server::requests_in_flight() const { return impl_->data.in_flight.size(); }

}  // namespace glmoe::serve
