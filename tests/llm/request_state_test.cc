#include "llm/request_state.h"

#include <gtest/gtest.h>

#include <string>

namespace glmoe {
namespace {

OutputDelta delta_of(int number) {
  OutputDelta delta;
  delta.text = std::to_string(number);
  return delta;
}

TEST(RequestState, KeepsTheOrderInAQueueThatIsNeverEmpty) {
  RequestState state(1, "", {1}, 1, 0.0);
  int pushed = 0, taken = 0;
  OutputDelta delta;
  for (; pushed < 3; ++pushed) state.push(delta_of(pushed), 0.0);
  for (int round = 0; round < 1000; ++round) {
    state.push(delta_of(pushed++), 0.0);
    ASSERT_TRUE(state.try_next(delta));
    ASSERT_EQ(delta.text, std::to_string(taken++));
  }
  while (state.try_next(delta)) ASSERT_EQ(delta.text, std::to_string(taken++));
  EXPECT_EQ(taken, pushed);
}

TEST(RequestState, SaysOnceThatItsReaderIsToBeTold) {
  RequestState state(1, "", {1}, 1, 0.0);
  int calls = 0;
  state.notify([&] { ++calls; });
  EXPECT_TRUE(state.push_untold(delta_of(0), 0.0));
  EXPECT_FALSE(state.push_untold(delta_of(1), 0.0));
  EXPECT_EQ(calls, 0);
  state.tell();
  EXPECT_EQ(calls, 1);
  OutputDelta delta;
  while (state.try_next(delta)) {
  }
  EXPECT_TRUE(state.push_untold(delta_of(2), 0.0));
  state.notify(nullptr);
  state.tell();  // nobody is there any more
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace glmoe
