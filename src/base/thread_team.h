// One persistent team of threads that runs every parallel loop of the engine.
//
// Workers spin briefly between jobs (a decode step starts hundreds of them) and then sleep, so an
// idle engine uses no processor time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace glmoe {

class ThreadTeam {
 public:
  // `num_threads` >= 1, the caller of run() included; 0 takes one a physical core. Throws
  // kUnavailable where the system refuses a thread.
  explicit ThreadTeam(int num_threads = 0);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return num_threads_; }

  // Calls fn(thread_index) once on every thread of the team, the caller being thread 0, and returns
  // when all are done. The first exception is thrown again here. Only one caller at a time, and
  // never from inside a job.
  template <class F>
  void run(F&& fn) {
    using Fn = std::remove_reference_t<F>;
    run_erased([](void* f, int thread) { (*static_cast<Fn*>(f))(thread); },
               const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Calls fn(begin, end, thread_index) for pieces of [0, count) of `grain` (the last may be
  // shorter), handed out in order as threads become free. Small counts run on the caller alone.
  template <class F>
  void parallel_for(int64_t count, int64_t grain, F&& fn) {
    if (count <= 0) return;
    if (num_threads_ == 1 || count <= grain) {
      fn(int64_t{0}, count, 0);
      return;
    }
    next_.store(0, std::memory_order_relaxed);
    run([&](int thread) {
      for (;;) {
        const int64_t begin = next_.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        fn(begin, begin + grain < count ? begin + grain : count, thread);
      }
    });
  }

  // Waits until every thread of the running job has arrived; may be used any number of times in a
  // job, by all of its threads. Not for jobs that throw.
  void barrier();

 private:
  void run_erased(void (*call)(void*, int), void* fn);
  void worker(int thread);
  void work(int thread);
  void stop();

  int num_threads_;
  std::vector<std::thread> threads_;
  void (*call_)(void*, int) = nullptr;
  void* fn_ = nullptr;
  alignas(64) std::atomic<uint64_t> generation_{0};
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> barrier_arrived_{0};
  alignas(64) std::atomic<uint64_t> barrier_generation_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_{0};
  std::exception_ptr error_;
  std::mutex error_mutex_;
};

// Physical cores this process may run on (hyper-threads counted once), at least 1.
int physical_core_count();

}  // namespace glmoe
