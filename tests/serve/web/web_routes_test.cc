#include "serve/web/web_routes.h"

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "serve/http_fixture.h"
#include "serve/web/web_files.h"

namespace glmoe::serve {
namespace {

class WebRoutes : public HttpFixture {
 protected:
  void serve_page(const WebPageOptions& options = {}) {
    add_web_routes(service.router, options);
    start();
  }
  RawResponse get(const std::string& path, const std::string& more = "",
                  const std::string& method = "GET") {
    return ask(method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more +
               "\r\n");
  }
};

TEST_F(WebRoutes, ServesEveryFileWithItsTypeAndAPolicyThatKeepsOthersOut) {
  serve_page();
  for (const WebFile& file : web_files()) {
    const RawResponse response = get("/web/" + std::string(file.path));
    EXPECT_EQ(response.status, 200) << file.path;
    EXPECT_EQ(response.body, file.data) << file.path;
    EXPECT_EQ(response.headers.at("content-type"), file.content_type);
    EXPECT_EQ(response.headers.at("x-content-type-options"), "nosniff");
    const std::string& policy = response.headers.at("content-security-policy");
    EXPECT_NE(policy.find("default-src 'self'"), std::string::npos) << policy;
    EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
  }
}

TEST_F(WebRoutes, TheRootIsThePageItself) {
  serve_page();
  const RawResponse root = get("/");
  EXPECT_EQ(root.status, 200);
  EXPECT_EQ(root.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(root.body, get("/web/index.html").body);
}

TEST_F(WebRoutes, AFileThatTheBrowserHasIsNotSentAgain) {
  serve_page();
  const std::string etag = get("/").headers.at("etag");
  const RawResponse same = get("/", "If-None-Match: \"other\", W/" + etag + "\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  EXPECT_EQ(same.headers.at("etag"), etag);
  EXPECT_EQ(same.headers.count("content-length"), 0u);
  EXPECT_EQ(get("/", "If-None-Match: \"other\"\r\n").status, 200);
}

TEST_F(WebRoutes, HeadSaysTheLengthWithoutTheBody) {
  serve_page();
  const RawResponse head = get("/", "", "HEAD");
  EXPECT_EQ(head.headers.at("content-length"), std::to_string(get("/").body.size()));
  EXPECT_EQ(head.body, "");
}

TEST_F(WebRoutes, ThePageNeedsNoKeyButOtherPathsStillDo) {
  service.keys.add("secret-key-for-this-test", "a test");
  serve_page();
  EXPECT_EQ(get("/").status, 200);
  EXPECT_EQ(get("/web/app.js").status, 200);
  EXPECT_EQ(get("/hello").status, 401);
}

TEST_F(WebRoutes, WhatIsNoFileIsNotFound) {
  serve_page();
  for (const char* path : {"/web/none.js", "/web/../server.h", "/web/%2e%2e/server.h",
                           "/web/index.html/", "/web/INDEX.HTML"}) {
    EXPECT_EQ(get(path).status, 404) << path;
  }
}

TEST_F(WebRoutes, TellsThePageWhatItsPortOffers) {
  serve_page({.chat = false, .experts_path = "admin/experts"});
  const Json config = parse_json(get("/web/config.json").body, "the config", {});
  EXPECT_EQ(config.at("chat"), false);
  EXPECT_EQ(config.at("experts"), "admin/experts");
}

TEST_F(WebRoutes, WithoutExpertsThePathIsNull) {
  serve_page();
  const Json config = parse_json(get("/web/config.json").body, "the config", {});
  EXPECT_EQ(config.at("chat"), true);
  EXPECT_TRUE(config.at("experts").is_null());
}

}  // namespace
}  // namespace glmoe::serve
