#include "base/thread_team.h"

#include <sched.h>

#include <chrono>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace glmoe {
namespace {

// About 100 us of spinning: longer than the gaps inside a decode step, short against a person.
constexpr int kSpinRounds = 20000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() holds; gives the processor away now and then in case cores are oversubscribed.
template <class Done>
void spin_until(Done done) {
  for (int round = 0; !done(); ++round) {
    relax();
    if (round % 2048 == 2047) std::this_thread::yield();
  }
}

}  // namespace

int physical_core_count() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  std::set<std::pair<std::string, std::string>> cores;
  int logical = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    ++logical;
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string package, core;
    std::ifstream(base + "physical_package_id") >> package;
    std::ifstream(base + "core_id") >> core;
    if (!core.empty()) cores.emplace(package, core);
  }
  const int found = cores.empty() ? logical : static_cast<int>(cores.size());
  return found > 0 ? found : 1;
}

ThreadTeam::ThreadTeam(int num_threads)
    : num_threads_(num_threads > 0 ? num_threads : physical_core_count()) {
  threads_.reserve(static_cast<size_t>(num_threads_ - 1));
  try {
    for (int i = 1; i < num_threads_; ++i) threads_.emplace_back([this, i] { worker(i); });
  } catch (const std::system_error& error) {
    stop();  // a thread that is destroyed while it runs would end the process
    fail(ErrorCode::kUnavailable, "thread {} of {} could not be started: {}; use fewer threads",
         threads_.size() + 2, num_threads_, error.what());
  }
}

ThreadTeam::~ThreadTeam() { stop(); }

void ThreadTeam::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::work(int thread) {
  try {
    call_(fn_, thread);
  } catch (...) {
    std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadTeam::run_erased(void (*call)(void*, int), void* fn) {
  call_ = call;
  fn_ = fn;
  if (num_threads_ > 1) {
    running_.store(num_threads_ - 1, std::memory_order_relaxed);
    generation_.fetch_add(1);  // sequentially consistent with the sleeper's check below
    if (sleeping_.load() > 0) {
      { std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
  }
  work(0);
  if (num_threads_ > 1) {
    spin_until([this] { return running_.load(std::memory_order_acquire) == 0; });
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadTeam::worker(int thread) {
  uint64_t seen = 0;
  for (;;) {
    bool found = false;
    for (int round = 0; round < kSpinRounds; ++round) {
      if (generation_.load(std::memory_order_acquire) != seen) {
        found = true;
        break;
      }
      relax();
    }
    if (!found) {
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    if (stop_.load()) return;
    ++seen;
    work(thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadTeam::barrier() {
  if (num_threads_ == 1) return;
  const uint64_t generation = barrier_generation_.load(std::memory_order_relaxed);
  if (barrier_arrived_.fetch_add(1, std::memory_order_acq_rel) == num_threads_ - 1) {
    barrier_arrived_.store(0, std::memory_order_relaxed);
    barrier_generation_.fetch_add(1, std::memory_order_release);
    return;
  }
  spin_until([&] { return barrier_generation_.load(std::memory_order_acquire) != generation; });
}

}  // namespace glmoe
