#include "serve/http/io_loops.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace glmoe::serve {
namespace {

std::thread::id thread_of(const IoLoops::Executor& executor) {
  std::promise<std::thread::id> id;
  boost::asio::post(executor, [&] { id.set_value(std::this_thread::get_id()); });
  return id.get_future().get();
}

TEST(IoLoops, RunEachOnAThreadOfItsOwn) {
  IoLoops loops(3);
  loops.start();
  std::vector<IoLoops::Place> places;
  std::set<std::thread::id> threads;
  for (int i = 0; i < 3; ++i) {
    places.emplace_back(loops);
    threads.insert(thread_of(places.back().executor()));
    EXPECT_EQ(thread_of(places.back().executor()), thread_of(places.back().executor()));
  }
  EXPECT_EQ(threads.size(), 3u);
  EXPECT_TRUE(threads.contains(thread_of(loops.main())));
}

TEST(IoLoops, GiveANewcomerTheLoopWithTheFewestConnections) {
  IoLoops loops(2);
  std::optional<IoLoops::Place> first(loops), second(loops);
  const IoLoops::Place third(loops);
  EXPECT_NE(first->executor(), second->executor());
  const IoLoops::Executor left = second->executor();
  second.reset();
  const IoLoops::Place moved = std::move(*std::make_unique<IoLoops::Place>(loops));
  EXPECT_EQ(moved.executor(), left);
  EXPECT_EQ(IoLoops::Place(loops).executor(), left) << "1 against 2: a place moved counts once";
}

TEST(IoLoops, MayEndBeforeTheirPlaces) {
  std::optional<IoLoops> loops(2);
  const IoLoops::Place place(*loops);
  loops.reset();
}

TEST(IoLoops, StopWithoutHavingStartedAndTwice) {
  IoLoops loops(0);  // one, at least
  loops.stop();
  loops.stop();
}

}  // namespace
}  // namespace glmoe::serve
