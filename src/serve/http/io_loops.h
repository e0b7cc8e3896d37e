// The threads that serve connections. Each runs a loop of its own, and a connection stays on the
// loop that it was given: its "strand" is that loop, so that what happens to one connection happens
// one after the other without a lock, and a wake-up of the loop serves all of its connections.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

namespace glmoe::serve {

class IoLoops {
 public:
  using Executor = boost::asio::io_context::executor_type;
  struct Counts;  // of connections, by loop

  explicit IoLoops(int num_threads);  // at least 1
  ~IoLoops();                         // as stop(); what was not run is dropped
  IoLoops(const IoLoops&) = delete;
  IoLoops& operator=(const IoLoops&) = delete;

  void start();
  // From any thread but the loops' own. Waits for the threads; once is enough.
  void stop();

  // For acceptors, signals and whatever else is no connection.
  Executor main() { return loops_.front()->io.get_executor(); }

  // One connection's place on the loop that has the fewest, for as long as it lives. Thread-safe.
  class Place {
   public:
    explicit Place(IoLoops& loops);
    ~Place();
    Place(Place&&) noexcept = default;
    Place& operator=(Place&&) = delete;
    Executor executor() const { return executor_; }

   private:
    std::shared_ptr<Counts> counts_;  // may outlive the loops; null once moved from
    size_t index_;
    Executor executor_;
  };

 private:
  struct Loop {
    // The hint says that one thread runs it.
    boost::asio::io_context io{1};
    boost::asio::executor_work_guard<Executor> work{io.get_executor()};
    std::thread thread;
  };

  std::shared_ptr<Counts> counts_;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace glmoe::serve
