#include "serve/engine_streams.h"

#include <utility>

#include "serve/ready_queue.h"

namespace glmoe::serve {

struct EngineStreams::Shared final : ReadyTarget {
  void add_ready(size_t which) override { ready.push_back(which); }
  void serve_ready() override {
    if (on_ready && !ready.empty()) on_ready();
  }

  std::function<void()> on_ready;  // empty once its owner has gone
  std::vector<size_t> ready;       // streams that may hold deltas; the last is looked at first
};

EngineStreams::EngineStreams(const boost::asio::any_io_executor& loop,
                             std::function<void()> on_ready)
    : shared_(std::make_shared<Shared>()),
      queue_(boost::asio::use_service<ReadyQueue>(loop.context())) {
  shared_->on_ready = std::move(on_ready);
}

EngineStreams::~EngineStreams() { shared_->on_ready = nullptr; }

void EngineStreams::add(ResponseStream stream) {
  const size_t which = streams_.size();
  streams_.push_back(std::move(stream));
  streams_.back().notify(
      [this_queue = &queue_, shared = shared_, which] { this_queue->raise(shared, which); });
}

bool EngineStreams::try_next(size_t& which, OutputDelta& delta) {
  std::vector<size_t>& ready = shared_->ready;
  while (!ready.empty()) {
    which = ready.back();
    if (streams_[which].try_next(delta)) {
      if (delta.request_finished) {
        ++num_done_;
        ready.pop_back();
      }
      return true;
    }
    ready.pop_back();
  }
  return false;
}

void EngineStreams::cancel() {
  for (ResponseStream& stream : streams_) stream.cancel();
}

}  // namespace glmoe::serve
