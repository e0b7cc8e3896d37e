#include "serve/client/sse_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "glmoe/error.h"

namespace glmoe::serve {
namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events read(std::string_view bytes, size_t piece, bool finish = true) {
  Events events;
  SseReader reader(
      [&](std::string_view name, std::string_view data) { events.emplace_back(name, data); });
  for (size_t begin = 0; begin < bytes.size(); begin += piece) {
    reader.feed(bytes.substr(begin, piece));
  }
  if (finish) reader.finish();
  return events;
}

TEST(SseReader, GivesTheSameEventsHoweverTheBytesAreSplit) {
  const std::string stream =
      "\xef\xbb\xbf: hello\r\n\r\ndata: {\"a\": 1}\r\n\r\ndata:two\n\n"
      "event: error\rdata: line 1\rdata: line 2\r\r: comment\nid: 7\nretry: 10\n"
      "data: caf\xc3\xa9\n\ndata\n\nnothing: x\n\ndata: [DONE]\n\n";
  const Events wanted = {{"", "{\"a\": 1}"},  {"", "two"}, {"error", "line 1\nline 2"},
                         {"", "caf\xc3\xa9"}, {"", ""},    {"", "[DONE]"}};
  EXPECT_EQ(read(stream, stream.size()), wanted);
  for (size_t piece = 1; piece < stream.size(); ++piece) {
    EXPECT_EQ(read(stream, piece), wanted) << "pieces of " << piece;
  }
}

TEST(SseReader, GivesAnEventOnlyWhenItsEmptyLineHasCome) {
  EXPECT_TRUE(read("data: x\n", 100, /*finish=*/false).empty());
  EXPECT_EQ(read("data: x\r\n\r", 100, /*finish=*/false).size(), 1u);
}

TEST(SseReader, GivesAtTheEndWhatHasNoEmptyLine) {
  EXPECT_EQ(read("data: [DONE]", 3), (Events{{"", "[DONE]"}}));
  EXPECT_EQ(read("data: [DONE]\n", 3), (Events{{"", "[DONE]"}}));
  EXPECT_TRUE(read("event: ping\n\n", 3).empty());
}

TEST(SseReader, TakesOneSpaceBehindTheColonAway) {
  EXPECT_EQ(read("data:  x \n\n", 2), (Events{{"", " x "}}));
}

TEST(SseReader, RefusesAnEventBeyondItsLimit) {
  SseReader reader([](std::string_view, std::string_view) {}, 100);
  try {
    for (int i = 0; i < 30; ++i) reader.feed("data: abcdef\n");
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  }
  SseReader one_line([](std::string_view, std::string_view) {}, 100);
  EXPECT_THROW(one_line.feed(std::string(101, 'x')), Error);
}

}  // namespace
}  // namespace glmoe::serve
