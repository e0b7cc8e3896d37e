#include "base/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace glmoe {
namespace {

TEST(ThreadTeam, RunsTheJobOnceOnEveryThread) {
  for (const int size : {1, 2, 5}) {
    ThreadTeam team(size);
    EXPECT_EQ(team.size(), size);
    std::vector<int> calls(static_cast<size_t>(size));
    for (int i = 0; i < 50; ++i)
      team.run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    for (const int count : calls) EXPECT_EQ(count, 50);
  }
}

TEST(ThreadTeam, CoversEveryIndexOnceInThousandsOfSmallJobs) {
  ThreadTeam team(4);
  for (int64_t job = 0; job < 3000; ++job) {
    const int64_t count = job % 37;
    const int64_t grain = 1 + job % 5;
    std::vector<int> visits(static_cast<size_t>(count));
    team.parallel_for(count, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
    });
    ASSERT_EQ(std::accumulate(visits.begin(), visits.end(), int64_t{0}), count);
    ASSERT_EQ(std::count(visits.begin(), visits.end(), 1), count);
  }
}

TEST(ThreadTeam, WakesUpAgainAfterSleeping) {
  ThreadTeam team(3);
  for (int i = 0; i < 20; ++i) {
    std::atomic<int> calls = 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 2 == 0 ? 5 : 0));
    team.run([&](int) { ++calls; });
    ASSERT_EQ(calls, 3);
  }
}

TEST(ThreadTeam, ThrowsTheJobsExceptionToItsCallerAndGoesOn) {
  ThreadTeam team(4);
  for (int i = 0; i < 100; ++i) {
    EXPECT_THROW(team.run([&](int thread) {
      if (thread == i % 4) throw std::runtime_error("from a job");
    }),
                 std::runtime_error);
    EXPECT_THROW(team.run([](int) { throw std::runtime_error("from all"); }), std::runtime_error);
    EXPECT_THROW(team.parallel_for(100, 1,
                                   [](int64_t begin, int64_t, int) {
                                     if (begin == 57) throw std::out_of_range("57");
                                   }),
                 std::out_of_range);
    std::atomic<int> calls = 0;
    team.run([&](int) { ++calls; });
    ASSERT_EQ(calls, 4);
  }
}

TEST(ThreadTeam, BarrierSeparatesPhases) {
  ThreadTeam team(4);
  std::vector<int> cells(4);
  std::atomic<int> wrong = 0;
  for (int job = 0; job < 20; ++job) {
    team.run([&](int thread) {
      for (int phase = 0; phase < 50; ++phase) {
        cells[static_cast<size_t>(thread)] = phase;  // plain memory: the barrier orders it
        team.barrier();
        for (const int cell : cells) wrong += cell != phase ? 1 : 0;
        team.barrier();
      }
    });
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ThreadTeam, SmallCountsStayWithTheCaller) {
  ThreadTeam team(4);
  const std::thread::id caller = std::this_thread::get_id();
  int calls = 0;
  team.parallel_for(8, 8, [&](int64_t begin, int64_t end, int thread) {
    ++calls;
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 8);
    EXPECT_EQ(thread, 0);
  });
  team.parallel_for(0, 8, [&](int64_t, int64_t, int) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(ThreadTeam, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadTeam team(1 + i % 4);
  EXPECT_GE(physical_core_count(), 1);
}

}  // namespace
}  // namespace glmoe
