// A listening HttpService with a few end points that need no engine.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "serve/http/async_event.h"
#include "serve/http/io_loops.h"
#include "serve/http/listener.h"
#include "serve/raw_client.h"

#include <boost/asio/this_coro.hpp>

namespace glmoe::serve {

class HttpFixture : public ::testing::Test {
 protected:
  HttpFixture() {
    add("GET", "/hello", Access::kApi, [](const HttpRequest&, ResponseWriter& response) {
      response.send(200, "text/plain", "hello");
      return done();
    });
    add("GET", "/public", Access::kPublic, [](const HttpRequest&, ResponseWriter& response) {
      response.send(200, "text/plain", "open to all");
      return done();
    });
    add("POST", "/echo", Access::kApi, [](const HttpRequest& request, ResponseWriter& response) {
      response.send(200, "text/plain", request.body, {{"X-Length", length(request)}});
      return done();
    });
    // Answers when it is cancelled, or after ten seconds.
    add("POST", "/wait", Access::kApi, [this](const HttpRequest&, ResponseWriter& response) {
      return wait(response, /*stream=*/false);
    });
    add("POST", "/stream", Access::kApi, [this](const HttpRequest&, ResponseWriter& response) {
      return wait(response, /*stream=*/true);
    });
    // Events of 1 KiB without end, as fast as they are asked for.
    add("POST", "/flood", Access::kApi,
        [this](const HttpRequest&, ResponseWriter& response) { return flood(response); });
    service.on_request = [this](const RequestRecord& record) {
      const std::lock_guard lock(mutex);
      records.push_back(record);
      changed.notify_all();
    };
  }

  ~HttpFixture() override { stop(); }

  // Listens; to be called once limits, keys and routes are set.
  void start() {
    listener = std::make_unique<Listener>(loops, address, service, tls.get());
    listener->start();
    loops.start();
    port = listener->port();
  }

  void stop() {
    if (!listener) return;
    listener->stop_accepting();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (service.num_connections.load() > 0 && std::chrono::steady_clock::now() < deadline) {
      listener->abort_connections();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(service.num_connections.load(), 0) << "connections stay open";
    loops.stop();
    listener.reset();
  }

  static boost::asio::awaitable<void> done() { co_return; }

  RawResponse ask(const std::string& bytes) {
    RawClient client(port);
    client.send(bytes);
    return client.read_response();
  }

  // Waits until `condition` holds of the records, under the lock.
  bool wait_for(const std::function<bool()>& condition, int timeout_ms = 5000) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::milliseconds(timeout_ms), condition);
  }

  // Of the request that waits: how long it takes until it hears of it when its client leaves.
  std::chrono::steady_clock::duration time_to_cancel(const std::function<void()>& leave) {
    while (num_waiting.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const size_t before = num_cancellations();
    const auto start_time = std::chrono::steady_clock::now();
    auto time = std::chrono::steady_clock::duration::max();
    leave();
    EXPECT_TRUE(wait_for([&] {
      if (cancellations.size() == before) return false;
      time = cancelled_at.back() - start_time;
      return true;
    }));
    return time;
  }
  size_t num_cancellations() {
    const std::lock_guard lock(mutex);
    return cancellations.size();
  }
  CancelReason last_cancellation() {
    const std::lock_guard lock(mutex);
    return cancellations.back();
  }

  void add(const char* method, const char* path, Access access, Handler handler) {
    service.router.add({method, path, access, std::move(handler)});
  }

  IoLoops loops{2};
  HttpService service;
  Listener::Address address{.host = "127.0.0.1"};
  std::unique_ptr<TlsContext> tls;
  std::unique_ptr<Listener> listener;
  uint16_t port = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<RequestRecord> records;
  std::vector<CancelReason> cancellations;  // that /wait, /stream and /flood were told
  std::vector<std::chrono::steady_clock::time_point> cancelled_at;
  std::atomic<int> num_waiting{0};

 private:
  static std::string length(const HttpRequest& request) {
    return std::to_string(request.body.size());
  }

  void note_cancelled(CancelReason reason) {
    const std::lock_guard lock(mutex);
    cancellations.push_back(reason);
    cancelled_at.push_back(std::chrono::steady_clock::now());
    changed.notify_all();
  }

  boost::asio::awaitable<void> wait(ResponseWriter& response, bool stream) {
    AsyncEvent cancelled(co_await boost::asio::this_coro::executor);
    response.on_cancel([&] { cancelled.set(); });
    if (stream) {
      response.begin_events();
      response.event("first");
      response.flush();
    }
    ++num_waiting;
    const bool told =
        co_await cancelled.wait_until(std::chrono::steady_clock::now() + std::chrono::seconds(10));
    --num_waiting;
    response.on_cancel(nullptr);
    if (told) note_cancelled(response.cancelled());
    if (stream) {
      response.event(told ? "cancelled" : "waited");
      response.end_events();
    } else {
      response.send(told ? 503 : 200, "text/plain", told ? "cancelled" : "waited");
    }
  }

  boost::asio::awaitable<void> flood(ResponseWriter& response) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    response.begin_events();
    const std::string data(1024, 'x');
    for (int i = 0; i < 100'000 && response.cancelled() == CancelReason::kNone; ++i) {
      response.event(data);
      response.flush();
      timer.expires_after(std::chrono::microseconds(20));
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
    if (response.cancelled() != CancelReason::kNone) note_cancelled(response.cancelled());
    response.end_events();
  }
};

}  // namespace glmoe::serve
