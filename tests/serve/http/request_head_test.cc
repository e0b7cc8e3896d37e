#include "serve/http/request_head.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace glmoe::serve {
namespace {

const HttpLimits kLimits;

int status_of_head(const std::string& text, const HttpLimits& limits = kLimits) {
  try {
    find_head(text, limits);
    return 0;
  } catch (const RequestProblem& problem) {
    return problem.error.status;
  }
}

int status_of_framing(const Headers& headers, int minor = 1) {
  try {
    check_framing(headers, minor, kLimits);
    return 0;
  } catch (const RequestProblem& problem) {
    return problem.error.status;
  }
}

TEST(RequestHead, EndsAfterTheEmptyLine) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(find_head(head + "body\r\n\r\n", kLimits), head.size());
  for (size_t length = 0; length < head.size(); ++length) {
    EXPECT_EQ(find_head(head.substr(0, length), kLimits), std::nullopt) << length;
  }
}

TEST(RequestHead, RefusesBareLineFeedsNulsAndFolds) {
  EXPECT_EQ(status_of_head("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of_head("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(status_of_head("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), 400);
  EXPECT_EQ(status_of_head(std::string("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 26)), 400);
  EXPECT_EQ(status_of_head("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), 400);
}

TEST(RequestHead, HoldsTheLimitsToTheByte) {
  HttpLimits limits;
  limits.max_header_line_bytes = 20;
  limits.max_header_bytes = 60;
  limits.max_headers = 3;
  const std::string line = "GET / HTTP/1.1\r\n";  // 16 bytes
  EXPECT_EQ(status_of_head("GET /" + std::string(6, 'a') + " HTTP/1.1\r\n\r\n", limits), 0);
  EXPECT_EQ(status_of_head("GET /" + std::string(7, 'a') + " HTTP/1.1\r\n\r\n", limits), 414);
  EXPECT_EQ(status_of_head(line + "A: " + std::string(17, 'b') + "\r\n\r\n", limits), 0);
  EXPECT_EQ(status_of_head(line + "A: " + std::string(18, 'b') + "\r\n\r\n", limits), 431);
  EXPECT_EQ(status_of_head(line + "A:1\r\nA:2\r\nA:3\r\n\r\n", limits), 0);
  EXPECT_EQ(status_of_head(line + "A:1\r\nA:2\r\nA:3\r\nA:4\r\n\r\n", limits), 431);
  const std::string full = line + "A: 3456789012345678\r\nB: 34567890123456\r\n\r\n";
  limits.max_header_bytes = full.size();
  EXPECT_EQ(status_of_head(full, limits), 0);
  limits.max_header_bytes = full.size() - 1;
  EXPECT_EQ(status_of_head(full, limits), 431);
}

TEST(RequestHead, RefusesAnEndlessLineBeforeItEnds) {
  EXPECT_EQ(status_of_head("GET / HTTP/1.1\r\nA: " + std::string(1 << 20, 'b')), 431);
  EXPECT_EQ(status_of_head(std::string(1 << 20, 'G')), 414);
}

TEST(RequestHead, TakesOneContentLengthOfDigits) {
  const auto framing = check_framing({{"host", "a"}, {"content-length", "12"}}, 1, kLimits);
  EXPECT_EQ(framing.content_length, 12u);
  for (const char* bad : {"", "-1", "+1", "1 2", "1,1", "0x10", "1.0", "one"}) {
    EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-length", bad}}), 400) << bad;
  }
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-length", "5"}, {"content-length", "5"}}),
            400);
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-length", "33554433"}}), 413);
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-length", "99999999999999999999999"}}), 413);
}

TEST(RequestHead, TakesChunkedAloneAsATransferEncoding) {
  EXPECT_TRUE(check_framing({{"host", "a"}, {"transfer-encoding", "Chunked"}}, 1, kLimits).chunked);
  for (const char* bad : {"gzip, chunked", "chunked, chunked", "identity", "xchunked", ""}) {
    EXPECT_EQ(status_of_framing({{"host", "a"}, {"transfer-encoding", bad}}), 400) << bad;
  }
  EXPECT_EQ(status_of_framing({{"transfer-encoding", "chunked"}}, 0), 400);
  EXPECT_EQ(
      status_of_framing({{"host", "a"}, {"transfer-encoding", "chunked"}, {"content-length", "3"}}),
      400);
}

TEST(RequestHead, RefusesEncodedBodiesAndOtherExpectations) {
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-encoding", "gzip"}}), 415);
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"content-encoding", "identity"}}), 0);
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"expect", "magic"}}), 417);
}

TEST(RequestHead, WantsOneHost) {
  EXPECT_EQ(status_of_framing({}), 400);
  EXPECT_EQ(status_of_framing({{"host", "a"}, {"host", "b"}}), 400);
  EXPECT_EQ(status_of_framing({}, 0), 0);
}

TEST(RequestHead, KeepsAliveAsTheVersionAndTheHeaderSay) {
  EXPECT_TRUE(check_framing({{"host", "a"}}, 1, kLimits).keep_alive);
  EXPECT_FALSE(check_framing({}, 0, kLimits).keep_alive);
  EXPECT_FALSE(
      check_framing({{"host", "a"}, {"connection", "foo , Close"}}, 1, kLimits).keep_alive);
  EXPECT_TRUE(check_framing({{"connection", "keep-alive"}}, 0, kLimits).keep_alive);
}

TEST(RequestHead, SplitsTheTarget) {
  std::string path, query;
  split_target("/v1/models?a=b?c", path, query);
  EXPECT_EQ(path, "/v1/models");
  EXPECT_EQ(query, "a=b?c");
  split_target("http://host:80/x", path, query);
  EXPECT_EQ(path, "/x");
  EXPECT_EQ(query, "");
  split_target("https://host", path, query);
  EXPECT_EQ(path, "/");
  EXPECT_THROW(split_target("host:443", path, query), RequestProblem);
}

TEST(RequestHead, MakesIdsThatDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(request_id_from(""));
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_EQ(request_id_from("abc-1.2_3"), "abc-1.2_3");
  EXPECT_NE(request_id_from("a\r\nb"), "a\r\nb");
  EXPECT_NE(request_id_from(std::string(129, 'a')), std::string(129, 'a'));
}

}  // namespace
}  // namespace glmoe::serve
