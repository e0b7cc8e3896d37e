// Mirrors: src/serve/client/http_client.cc, src/serve/client/client_connection.cc
#include "serve/client/http_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace glmoe::serve {
namespace {

// Accepts one connection after the other; the n-th is served by the n-th script, which is given the
// descriptor of the connection.
class ScriptedServer {
 public:
  using Script = std::function<void(int)>;

  explicit ScriptedServer(std::vector<Script> scripts) {
    listening_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listening_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(listening_, 16);
    socklen_t size = sizeof(address);
    ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, scripts = std::move(scripts)] {
      for (const Script& script : scripts) {
        const int fd = ::accept(listening_, nullptr, nullptr);
        if (fd < 0) return;
        script(fd);
        ::close(fd);
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }

  HttpClientOptions options() const {
    HttpClientOptions options;
    options.url = {.tls = false, .host = "127.0.0.1", .port = port_, .path = ""};
    options.silence_timeout = std::chrono::milliseconds(5000);
    return options;
  }

  // Reads a request's head; false where the client has closed.
  static bool read_head(int fd) {
    std::string head;
    char c = 0;
    while (!head.ends_with("\r\n\r\n")) {
      if (::recv(fd, &c, 1, 0) <= 0) return false;
      head += c;
    }
    return true;
  }
  static void send(int fd, std::string_view text) {
    (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  }
  // Reads a request and answers with these bytes.
  static Script answers(std::string text) {
    return [text](int fd) {
      if (read_head(fd)) send(fd, text);
    };
  }

 private:
  int listening_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

constexpr const char* kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

FailureKind kind_of_failure(const ScriptedServer& server) {
  try {
    fetch_blocking(server.options(), {});
  } catch (const RequestFailed& error) {
    return error.failure().kind;
  }
  return FailureKind::kNone;
}

TEST(HttpClient, ReadsBodiesOfEveryFraming) {
  for (const char* answer :
       {kHello,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}) {
    ScriptedServer server({ScriptedServer::answers(answer)});
    EXPECT_EQ(fetch_blocking(server.options(), {}), "hello") << answer;
  }
}

TEST(HttpClient, TellsATruncatedAnswerFromAWholeOne) {
  for (const char* answer :
       {"", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"}) {
    ScriptedServer server({ScriptedServer::answers(answer)});
    EXPECT_EQ(kind_of_failure(server), FailureKind::kTruncated) << answer;
  }
}

TEST(HttpClient, RefusesWhatIsNotHttp) {
  for (const std::string& answer : {std::string("SSH-2.0-OpenSSH_9\r\n\r\n"),
                                    "HTTP/1.1 200 OK\r\nX: " + std::string(300'000, 'x')}) {
    ScriptedServer server({ScriptedServer::answers(answer)});
    EXPECT_EQ(kind_of_failure(server), FailureKind::kProtocol) << answer.substr(0, 40);
  }
}

TEST(HttpClient, SaysTheStatusAndTheServersMessage) {
  ScriptedServer server({ScriptedServer::answers(
      "HTTP/1.1 429 Slow\r\nRetry-After: 2\r\nContent-Length: 17\r\n\r\n{\"error\": \"full\"}")});
  try {
    fetch_blocking(server.options(), {});
    FAIL() << "no failure";
  } catch (const RequestFailed& error) {
    EXPECT_EQ(error.failure().status, 429);
    EXPECT_EQ(error.failure().retry_after_s, 2.0);
    EXPECT_NE(error.failure().message.find("full"), std::string::npos);
  }
}

TEST(HttpClient, EndsARequestThatIsSilentForTooLong) {
  ScriptedServer server({[](int fd) {
    char c = 0;
    while (::recv(fd, &c, 1, 0) > 0) {
    }
  }});
  HttpClientOptions options = server.options();
  options.silence_timeout = std::chrono::milliseconds(100);
  try {
    fetch_blocking(options, {});
    FAIL() << "no failure";
  } catch (const RequestFailed& error) {
    EXPECT_EQ(error.failure().kind, FailureKind::kTimeout);
  }
}

TEST(HttpClient, UsesAConnectionAgainAndReplacesOneThatTheServerClosed) {
  int answered_on_first = 0, answered_on_second = 0;
  {
    ScriptedServer server({[&](int fd) {
                             for (; answered_on_first < 2; ++answered_on_first) {
                               if (!ScriptedServer::read_head(fd)) return;
                               ScriptedServer::send(fd, kHello);
                             }
                           },
                           [&](int fd) {
                             if (!ScriptedServer::read_head(fd)) return;
                             ScriptedServer::send(fd, kHello);
                             ++answered_on_second;
                           }});
    boost::asio::io_context io;
    HttpClient client(io, server.options());
    run_client(io, client, [&]() -> boost::asio::awaitable<void> {
      const ClientRequest request;
      for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await client.fetch(request), "hello");
    });
  }
  EXPECT_EQ(answered_on_first, 2);
  EXPECT_EQ(answered_on_second, 1);
}

TEST(HttpClient, IsStoppedWhileItWaits) {
  std::atomic<bool> stop{false};
  ScriptedServer server({[&](int fd) {
    if (!ScriptedServer::read_head(fd)) return;
    ScriptedServer::send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
    stop.store(true);
    char c = 0;
    while (::recv(fd, &c, 1, 0) > 0) {
    }
  }});
  boost::asio::io_context io;
  HttpClient client(io, server.options());
  const ClientRequest request;
  try {
    run_client(
        io, client, [&]() -> boost::asio::awaitable<void> { (void)co_await client.fetch(request); },
        &stop);
    FAIL() << "no failure";
  } catch (const RequestFailed& error) {
    EXPECT_EQ(error.failure().kind, FailureKind::kCancelled);
  }
}

TEST(HttpClient, NamesAServerThatIsNotThere) {
  HttpClientOptions options;
  options.url = {.tls = false, .host = "127.0.0.1", .port = 1, .path = ""};
  try {
    fetch_blocking(options, {});
    FAIL() << "no failure";
  } catch (const RequestFailed& error) {
    EXPECT_EQ(error.failure().kind, FailureKind::kConnect);
    EXPECT_NE(error.failure().message.find("127.0.0.1:1"), std::string::npos);
  }
}

}  // namespace
}  // namespace glmoe::serve
