#include "serve/ready_queue.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace glmoe::serve {
namespace {

struct Target final : ReadyTarget {
  void add_ready(size_t which) override { added.push_back(which); }
  void serve_ready() override {
    if (added.empty()) return;
    ++num_served;
    served.insert(served.end(), added.begin(), added.end());
    added.clear();
    if (on_serve) on_serve();
  }
  std::vector<size_t> added, served;
  int num_served = 0;
  std::function<void()> on_serve;
};

class Queue : public ::testing::Test {
 protected:
  boost::asio::io_context loop{1};
  ReadyQueue& queue = boost::asio::use_service<ReadyQueue>(loop);
  std::shared_ptr<Target> one = std::make_shared<Target>();
  std::shared_ptr<Target> two = std::make_shared<Target>();
};

TEST_F(Queue, WakesTheLoopOnceForAllThatCameTogether) {
  for (const size_t which : {0, 1, 2}) {
    queue.raise(one, which);
    queue.raise(two, which + 10);
  }
  EXPECT_EQ(loop.poll(), 1u) << "handlers run";
  EXPECT_EQ(one->num_served, 1);
  EXPECT_EQ(two->num_served, 1);
  EXPECT_EQ(one->served, (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(two->served, (std::vector<size_t>{10, 11, 12}));
}

TEST_F(Queue, TakesWhatIsRaisedWhileItServes) {
  one->on_serve = [&] {
    if (one->num_served == 1) queue.raise(two, 7);
  };
  queue.raise(one, 1);
  EXPECT_EQ(loop.poll(), 2u);
  EXPECT_EQ(two->served, std::vector<size_t>{7});
}

TEST_F(Queue, KeepsATargetUntilItWasServed) {
  const std::weak_ptr<Target> weak = one;
  queue.raise(std::exchange(one, nullptr), 1);
  EXPECT_FALSE(weak.expired());
  loop.poll();
  EXPECT_TRUE(weak.expired());
}

TEST_F(Queue, LosesNothingBetweenThreads) {
  constexpr size_t kCount = 20'000;
  std::thread raiser([&] {
    for (size_t i = 0; i < kCount; ++i) queue.raise(one, i);
  });
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (one->served.size() < kCount && std::chrono::steady_clock::now() < patience) {
    loop.restart();
    loop.poll();
  }
  raiser.join();
  ASSERT_EQ(one->served.size(), kCount);
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(one->served[i], i);
}

TEST(ReadyQueue, DropsWhatIsLeftWithItsLoop) {
  auto target = std::make_shared<Target>();
  const std::weak_ptr<Target> weak = target;
  {
    boost::asio::io_context loop{1};
    boost::asio::use_service<ReadyQueue>(loop).raise(std::exchange(target, nullptr), 1);
  }
  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace glmoe::serve
