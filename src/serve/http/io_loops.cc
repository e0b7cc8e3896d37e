#include "serve/http/io_loops.h"

#include <algorithm>
#include <mutex>

namespace glmoe::serve {

struct IoLoops::Counts {
  explicit Counts(size_t num_loops) : connections(num_loops, 0) {}
  std::mutex mutex;
  std::vector<size_t> connections;
};

IoLoops::IoLoops(int num_threads) {
  for (int i = 0; i < std::max(num_threads, 1); ++i) loops_.push_back(std::make_unique<Loop>());
  counts_ = std::make_shared<Counts>(loops_.size());
}

IoLoops::~IoLoops() { stop(); }

void IoLoops::start() {
  for (const std::unique_ptr<Loop>& loop : loops_) {
    loop->thread = std::thread([&io = loop->io] { io.run(); });
  }
}

void IoLoops::stop() {
  for (const std::unique_ptr<Loop>& loop : loops_) loop->io.stop();
  for (const std::unique_ptr<Loop>& loop : loops_) {
    if (loop->thread.joinable()) loop->thread.join();
  }
}

IoLoops::Place::Place(IoLoops& loops)
    : counts_(loops.counts_),
      index_([&] {
        const std::lock_guard lock(counts_->mutex);
        const auto fewest = std::ranges::min_element(counts_->connections);
        ++*fewest;
        return static_cast<size_t>(fewest - counts_->connections.begin());
      }()),
      executor_(loops.loops_[index_]->io.get_executor()) {}

IoLoops::Place::~Place() {
  if (!counts_) return;
  const std::lock_guard lock(counts_->mutex);
  --counts_->connections[index_];
}

}  // namespace glmoe::serve
