#include "serve/http/listener.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "serve/http_fixture.h"
#include "support/temp_folder.h"

namespace glmoe::serve {
namespace {

using ::testing::HasSubstr;

class Listening : public HttpFixture {
 protected:
  Error refusal(const Listener::Address& wanted) {
    try {
      Listener another(loops, wanted, service, nullptr);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorCode::kInternal, "it was taken");
  }
};

TEST_F(Listening, SaysWhichPortIsInUse) {
  start();
  const Error error = refusal({.host = "127.0.0.1", .port = port});
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.what(), HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(error.what(), HasSubstr("in use"));
}

TEST_F(Listening, RefusesAddressesThatAreNoneOrNotOurs) {
  EXPECT_EQ(refusal({.host = "not an address"}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refusal({.host = "192.0.2.1"}).code(), ErrorCode::kIo);
}

TEST_F(Listening, AnswersOnlyWhereItWasTold) {
  address.host = "127.0.0.2";
  start();
  EXPECT_EQ(listener->url(), "http://127.0.0.2:" + std::to_string(port));
  EXPECT_FALSE(RawClient(port).connected());  // 127.0.0.1
}

TEST_F(Listening, RefusesMoreConnectionsThanTheLimit) {
  service.limits.max_connections = 3;
  std::vector<std::string> rejected;
  service.on_rejected_connection = [&](std::string_view reason) { rejected.emplace_back(reason); };
  start();
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(port);
    clients.back().send(get("/hello"));
    EXPECT_EQ(clients.back().read_response().status, 200);
  }
  RawClient fourth(port);
  const RawResponse refused = fourth.read_response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_THAT(refused.body, HasSubstr("too_many_connections"));
  fourth.read_to_end();
  EXPECT_TRUE(fourth.ended());
  EXPECT_EQ(rejected, std::vector<std::string>{"too_many_connections"});
  clients.clear();
  for (int i = 0; i < 200 && service.num_connections.load() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(ask(get("/hello")).status, 200);
}

TEST_F(Listening, RefusesMoreConnectionsOfOneAddressThanTheLimit) {
  service.limits.max_connections_per_address = 1;
  start();
  RawClient first(port);
  first.send(get("/hello"));
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_THAT(RawClient(port).read_response().body, HasSubstr("too_many_connections_of_address"));
}

TEST_F(Listening, AnswersOnAUnixSocketThatOthersCannotOpen) {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/glmoe.sock";
  address.uds_path = path;
  start();
  EXPECT_EQ(listener->url(), "unix:" + path);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0007, 0u);
  RawClient client(path);
  client.send(get("/hello"));
  EXPECT_EQ(client.read_response().body, "hello");
  EXPECT_EQ(refusal({.uds_path = path}).code(), ErrorCode::kIo);  // somebody listens there
  client.close();
  stop();
  EXPECT_NE(::stat(path.c_str(), &status), 0);
}

TEST_F(Listening, DoesNotReplaceAFileByItsSocket) {
  const testing::TempFolder folder;
  const std::string path = folder.path() + "/precious";
  std::ofstream(path) << "data";
  EXPECT_EQ(refusal({.uds_path = path}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refusal({.uds_path = folder.path() + "/" + std::string(120, 'x')}).code(),
            ErrorCode::kInvalidArgument);
}

TEST_F(Listening, DrainsIdleConnectionsAndTellsNewOnesWhy) {
  service.router.add({.method = "POST",
                      .path = "/generate",
                      .handler = [](const HttpRequest&, ResponseWriter&) { return done(); },
                      .refused_while_draining = true});
  start();
  RawClient idle(port), busy(port);
  idle.send(get("/hello"));
  idle.read_response();
  busy.send(post("/wait", "", "X-Request-Id: busy\r\n"));
  while (num_waiting.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  service.draining = true;
  listener->drain();
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_TRUE(idle.ended());
  const RawResponse refused = ask(post("/generate", ""));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("shutting_down"));
  EXPECT_EQ(ask(get("/public")).status, 200);
  service.in_flight.cancel("busy", CancelReason::kAdminRequest);
  EXPECT_EQ(busy.read_response().headers.at("connection"), "keep-alive");
  busy.read_to_end();
  EXPECT_TRUE(busy.ended());
}

}  // namespace
}  // namespace glmoe::serve
