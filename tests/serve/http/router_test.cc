#include "serve/http/router.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace glmoe::serve {
namespace {

Router sample() {
  Router router;
  router.add({.method = "GET", .path = "/v1/models"});
  router.add({.method = "GET", .path = "/v1/models/*"});
  router.add({.method = "POST", .path = "/v1/messages", .error_style = ErrorStyle::kAnthropic});
  router.add({.method = "GET", .path = "/level"});
  router.add({.method = "POST", .path = "/level"});
  return router;
}

TEST(Router, FindsExactPathsAndRests) {
  const Router router = sample();
  EXPECT_EQ(router.find("GET", "/v1/models").route->path, "/v1/models");
  const Router::Match rest = router.find("GET", "/v1/models/org/name");
  ASSERT_NE(rest.route, nullptr);
  EXPECT_EQ(rest.path_rest, "org/name");
  for (const char* path : {"/", "", "/v1", "/v1/models/", "/v1/modelsx", "//v1/models",
                           "/V1/models", "/v1/messages/", "/v1/./models", "/v1%2fmodels"}) {
    const Router::Match match = router.find("GET", path);
    EXPECT_EQ(match.route, nullptr) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
}

TEST(Router, SaysWhatAPathTakes) {
  const Router router = sample();
  EXPECT_NE(router.find("HEAD", "/v1/models").route, nullptr);
  const Router::Match match = router.find("PUT", "/level");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allow, "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(router.find("GET", "/v1/messages").error_style, ErrorStyle::kAnthropic);
}

TEST(Router, RefusesARouteTwice) {
  Router router = sample();
  EXPECT_THROW(router.add({.method = "GET", .path = "/level"}), Error);
}

}  // namespace
}  // namespace glmoe::serve
