#include "serve/client/url.h"

#include <gtest/gtest.h>

#include "glmoe/error.h"

namespace glmoe::serve {
namespace {

TEST(ServerUrl, IsTakenApart) {
  const ServerUrl plain = parse_server_url("http://localhost:8000/", "--base_url");
  EXPECT_FALSE(plain.tls);
  EXPECT_EQ(plain.host, "localhost");
  EXPECT_EQ(plain.port, 8000);
  EXPECT_EQ(plain.target("/v1/models"), "/v1/models");
  EXPECT_EQ(plain.text(), "http://localhost:8000");
  const ServerUrl tls = parse_server_url("https://example.org/api/v1", "--base_url");
  EXPECT_TRUE(tls.tls);
  EXPECT_EQ(tls.port, 443);
  EXPECT_EQ(tls.host_header(), "example.org");
  EXPECT_EQ(tls.target("/v1/models"), "/api/v1/models");
}

TEST(ServerUrl, KnowsIpv6Addresses) {
  const ServerUrl url = parse_server_url("http://[::1]:81", "--base_url");
  EXPECT_EQ(url.host, "::1");
  EXPECT_EQ(url.host_header(), "[::1]:81");
}

TEST(ServerUrl, RefusesWhatIsNoAddressAndNamesTheFlag) {
  for (const char* text : {"", "localhost:8000", "ftp://a", "http://", "http://:80", "http://a:0",
                           "http://a:65536", "http://a:x", "http://a:", "http://a b", "http://[::1",
                           "http://u:p@a", "http://a/?q=1", "http://a\r\nX: 1", "http://[::1]x"}) {
    try {
      parse_server_url(text, "--base_url");
      ADD_FAILURE() << "'" << text << "' was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << text;
      EXPECT_NE(std::string(error.what()).find("--base_url"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace glmoe::serve
