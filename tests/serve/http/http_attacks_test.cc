// What is known to have brought other servers down or to have got past them, sent as raw bytes. A
// test that has an advisory's number checks that class of mistake.
// Mirrors: src/serve/http/connection.cc, src/serve/http/request_parser.cc,
// src/serve/http/request_head.cc
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "serve/http_fixture.h"

namespace glmoe::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;

class HttpAttacks : public HttpFixture {
 protected:
  // The status of the answer, after which the connection has to be closed.
  int refused(const std::string& bytes) {
    RawClient client(port);
    client.send(bytes);
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.headers.count("connection") > 0 ? response.headers.at("connection") : "",
              "close");
    client.read_to_end();
    EXPECT_TRUE(client.ended()) << "the connection stays open";
    return response.status;
  }
  std::string chunked(const std::string& chunks) {
    return "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks;
  }
};

TEST_F(HttpAttacks, CVE_2025_46728_ChunkedBodiesKeepToTheBodyLimit) {
  service.limits.max_body_bytes = 100'000;
  start();
  EXPECT_EQ(refused(chunked("186a1\r\n")), 413);  // one byte too many, announced
  std::string many;
  for (int i = 0; i < 101; ++i) many += "3e8\r\n" + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(refused(chunked(many)), 413);
  std::string fits;
  for (int i = 0; i < 100; ++i) fits += "3e8\r\n" + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(ask(chunked(fits + "0\r\n\r\n")).headers.at("x-length"), "100000");
}

TEST_F(HttpAttacks, CVE_2025_52887_ThereAreAsManyHeadersAsTheLimitSays) {
  start();
  std::string headers;
  for (int i = 0; i < 99; ++i) headers.append("A").append(std::to_string(i)).append(": b\r\n");
  EXPECT_EQ(ask(get("/hello", headers)).status, 200);  // Host is the hundredth
  EXPECT_EQ(refused(get("/hello", headers + "One: more\r\n")), 431);
  std::string endless = "GET /hello HTTP/1.1\r\nHost: test\r\n";
  for (int i = 0; i < 100'000; ++i) endless += "A: b\r\n";
  EXPECT_EQ(refused(endless), 431);
}

TEST_F(HttpAttacks, CVE_2025_48956_AHugeHeaderIsNotRead) {
  start();
  EXPECT_EQ(refused("GET /hello HTTP/1.1\r\nHost: test\r\nA: " + std::string(1 << 20, 'a')), 431);
  EXPECT_EQ(refused("GET /" + std::string(1 << 20, 'a') + " HTTP/1.1\r\nHost: test\r\n\r\n"), 414);
  std::string total = "GET /hello HTTP/1.1\r\nHost: test\r\n";
  for (int i = 0; i < 10; ++i) total += "A: " + std::string(8000, 'a') + "\r\n";
  EXPECT_EQ(refused(total + "\r\n"), 431);
}

TEST_F(HttpAttacks, CVE_2026_22776_CVE_2026_28435_CompressedBodiesAreRefused) {
  start();
  for (const char* encoding : {"gzip", "deflate", "br", "zstd", "gzip, identity", "x"}) {
    EXPECT_EQ(
        refused(post("/echo", "\x1f\x8b", "Content-Encoding: " + std::string(encoding) + "\r\n")),
        415)
        << encoding;
  }
}

TEST_F(HttpAttacks, CVE_2026_45352_OddChunkSizesAreRefused) {
  start();
  for (const char* size :
       {"-1", "+1", "0x1", "1 ", " 1", "", "g", "1\n", "ffffffffffffffffff", "1;", "1\r"}) {
    EXPECT_EQ(refused(chunked(std::string(size) + "\r\nx\r\n0\r\n\r\n")), 400) << size;
  }
  EXPECT_EQ(refused(chunked("ffffffffffffffff\r\nx\r\n")), 413);
  EXPECT_EQ(refused(chunked("1\r\nxy\r\n0\r\n\r\n")), 400);  // more than was said
  EXPECT_EQ(refused(chunked("1\nx\n0\n\n" + std::string(200'000, 'a'))), 400);
}

TEST_F(HttpAttacks, AChunkExtensionThatNeverEndsRunsIntoTheBodyTimeout) {
  service.limits.body_timeout = milliseconds(100);
  start();
  EXPECT_EQ(refused(chunked("1;a=\"\r\nx\r\n0\r\n\r\n")), 408);
}

TEST_F(HttpAttacks, CVE_2023_39326_ChunkExtensionsDoNotCarryTheLoad) {
  start();
  std::string chunks;
  for (int i = 0; i < 300; ++i) chunks += "1;a=" + std::string(4000, 'b') + "\r\nx\r\n";
  EXPECT_EQ(refused(chunked(chunks)), 400);
  EXPECT_EQ(refused(chunked("1;a=" + std::string(1 << 20, 'b'))), 400);
  EXPECT_EQ(refused(chunked("0\r\nA: " + std::string(1 << 20, 'b'))), 400);
}

TEST_F(HttpAttacks, SmugglingByTwoLengthsIsRefused) {
  start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: test\r\n";
  EXPECT_EQ(refused(head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400);
  EXPECT_EQ(refused(head + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
            400);
  EXPECT_EQ(refused(head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"), 400);
  EXPECT_EQ(refused(head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n12345"), 400);
  EXPECT_EQ(refused(head + "Content-Length: 5, 5\r\n\r\n12345"), 400);
  EXPECT_EQ(refused(head + "Content-Length : 5\r\n\r\n12345"), 400);
  EXPECT_EQ(refused(head + "Content-Length: -5\r\n\r\n12345"), 400);
  for (const char* encoding : {"xchunked", "chunked, identity", "gzip, chunked",
                               "\x0b"
                               "chunked"}) {
    EXPECT_EQ(refused(head + "Transfer-Encoding: " + encoding + "\r\n\r\n0\r\n\r\n"), 400)
        << encoding;
  }
  EXPECT_EQ(refused(head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
            400);
}

TEST_F(HttpAttacks, WhatIsNotHttpIsRefused) {
  start();
  for (const char* bytes :
       {"\r\n\r\n\r\nnonsense\r\n\r\n", "GET\r\n\r\n", "GET /hello\r\n\r\n",
        "GET  /hello HTTP/1.1\r\n\r\n", "GET /hello HTTP/1.1\r\nHost test\r\n\r\n",
        "GET /hello HTTP/1.1\r\n: x\r\n\r\n", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /hello HTTP/1.1\r\n\r\n", "GET /hello HTTP/1.1\nHost: a\n\n",
        "\x16\x03\x01\x02\x01\xfc\x03\x03\r\n\r\n", "G\x01T /hello HTTP/1.1\r\n\r\n"}) {
    EXPECT_EQ(refused(bytes), 400) << bytes;
  }
  EXPECT_EQ(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(refused("GET /hello HTTP/3.7\r\nHost: test\r\n\r\n"), 505);
}

TEST_F(HttpAttacks, HeadersCannotBeInjectedThroughWhatIsEchoed) {
  service.cors_origins = {"*"};
  start();
  RawClient client(port);
  client.send(
      get("/nowhere%0d%0aSet-Cookie:%20a", "Origin: https://a\r\nX-Request-Id: a%0d%0ab\r\n"));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.headers.count("set-cookie"), 0u);
  EXPECT_THAT(response.headers.at("x-request-id"), ::testing::StartsWith("req-"));
}

TEST_F(HttpAttacks, SlowlorisIsCutOffAfterTheHeaderTimeout) {
  service.limits.header_timeout = milliseconds(300);
  start();
  RawClient client(port);
  const auto begin = steady_clock::now();
  client.send("GET /hello HTTP/1.1\r\nHost: test\r\n");
  for (int i = 0; i < 50 && !client.receive(20); ++i) {
    if (!client.send("A: b\r\n")) break;
  }
  EXPECT_EQ(client.read_response().status, 408);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(2000));
  // Who connects and says nothing is closed without a word.
  RawClient silent(port);
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_TRUE(silent.ended());
}

TEST_F(HttpAttacks, ABodyHasItsTimeoutAndMoreWhereItKeepsItsRate) {
  service.limits.body_timeout = milliseconds(200);
  service.limits.min_body_bytes_per_s = 1000;
  start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1200\r\n\r\n";
  RawClient stuck(port);
  stuck.send(head + "12345");
  EXPECT_EQ(stuck.read_response().status, 408);
  // 400 bytes every 250 ms: 200 ms are over, but the rate is kept.
  RawClient steady(port);
  steady.send(head + std::string(400, 'a'));
  for (int i = 0; i < 2; ++i) {
    std::this_thread::sleep_for(milliseconds(250));
    steady.send(std::string(400, 'a'));
  }
  EXPECT_EQ(steady.read_response().status, 200);
}

TEST_F(HttpAttacks, AllBodiesTogetherKeepToTheirLimit) {
  service.limits.max_buffered_body_bytes = 10'000;
  start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 6000\r\n\r\n";
  RawClient first(port);
  first.send(head + std::string(5999, 'a'));
  while (service.buffered_body_bytes.load() < 5999) std::this_thread::sleep_for(milliseconds(1));
  RawClient second(port);
  second.send(head + std::string(6000, 'b'));
  const RawResponse refused = second.read_response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("too_many_bodies"));
  first.send("a");
  EXPECT_EQ(first.read_response().status, 200);
  first.close();
  EXPECT_EQ(ask(post("/echo", std::string(9000, 'c'))).status, 200);
  for (int i = 0; i < 200 && service.buffered_body_bytes.load() > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(service.buffered_body_bytes.load(), 0u);
}

TEST_F(HttpAttacks, AnIdleConnectionIsClosedInSilence) {
  service.limits.idle_timeout = milliseconds(200);
  start();
  RawClient client(port);
  client.send(get("/hello"));
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpAttacks, AClientThatLeavesInTheMiddleOfItsRequestCostsNothing) {
  start();
  for (const char* part :
       {"", "GET", "GET /hello HTTP/1.1\r\nHo",
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5"}) {
    RawClient client(port);
    client.send(part);
    client.reset();
    RawClient half(port);
    half.send(part);
    half.shutdown_send();
    half.read_to_end();
    EXPECT_TRUE(half.ended()) << part;
  }
  const auto deadline = steady_clock::now() + milliseconds(2000);
  while (service.num_connections.load() > 0 && steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(service.num_connections.load(), 0);
  EXPECT_EQ(ask(get("/hello")).status, 200);
}

TEST_F(HttpAttacks, ARefusalArrivesThoughTheBodyIsStillBeingSent) {
  service.limits.max_body_bytes = 1000;
  start();
  for (int i = 0; i < 20; ++i) {
    RawClient client(port);
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8000000\r\n\r\n");
    client.send(std::string(100'000, 'x'));
    const RawResponse response = client.read_response();
    EXPECT_EQ(response.status, 413);
    EXPECT_THAT(response.body, HasSubstr("body_too_large"));
  }
}

TEST_F(HttpAttacks, RandomBytesNeverHangOrBreakTheServer) {
  service.limits.header_timeout = milliseconds(100);
  service.limits.body_timeout = milliseconds(100);
  start();
  uint64_t state = 88172645463325252u;
  const auto next = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  };
  const std::string valid = chunked("5\r\nhello\r\n0\r\n\r\n");
  for (int i = 0; i < 300; ++i) {
    std::string bytes = valid;
    for (int change = 0; change < 3; ++change) {
      bytes[next() % bytes.size()] = static_cast<char>(next());
    }
    RawClient client(port);
    client.send(bytes);
    client.shutdown_send();
    client.read_to_end();
    ASSERT_TRUE(client.ended()) << bytes;
  }
  EXPECT_EQ(ask(get("/hello")).status, 200);
}

}  // namespace
}  // namespace glmoe::serve
