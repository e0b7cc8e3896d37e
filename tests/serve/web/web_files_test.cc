#include "serve/web/web_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace glmoe::serve {
namespace {

std::string_view data_of(std::string_view path) {
  for (const WebFile& file : web_files()) {
    if (file.path == path) return file.data;
  }
  return {};
}

TEST(WebFiles, AreSortedAndTheirTagsDiffer) {
  std::set<std::string_view> etags;
  std::string_view before;
  for (const WebFile& file : web_files()) {
    EXPECT_LT(before, file.path);
    before = file.path;
    EXPECT_FALSE(file.data.empty()) << file.path;
    EXPECT_TRUE(file.etag.starts_with('"') && file.etag.ends_with('"')) << file.etag;
    etags.insert(file.etag);
  }
  EXPECT_EQ(etags.size(), web_files().size());
}

TEST(WebFiles, HoldTheBytesOfTheirSources) {
  EXPECT_TRUE(data_of("index.html").starts_with("<!doctype html>\n"));
  EXPECT_TRUE(data_of("index.html").ends_with("</html>\n"));
  EXPECT_TRUE(data_of("icon.svg").starts_with("<svg "));
  // A character of three bytes comes through as such.
  EXPECT_NE(data_of("index.html").find("model\xe2\x80\x99s own"), std::string_view::npos);
}

TEST(WebFiles, HoldEveryFileThatThePageNames) {
  const std::string_view index = data_of("index.html");
  int count = 0;
  for (size_t at = index.find("\"web/"); at != index.npos; at = index.find("\"web/", at + 1)) {
    const size_t from = at + 5;
    const std::string_view path = index.substr(from, index.find('"', from) - from);
    EXPECT_FALSE(data_of(path).empty()) << path;
    ++count;
  }
  EXPECT_GE(count, 4);
}

TEST(WebFiles, HoldEveryModuleThatAModuleImports) {
  for (const WebFile& file : web_files()) {
    constexpr std::string_view kFrom = "from './";
    for (size_t at = file.data.find(kFrom); at != file.data.npos;
         at = file.data.find(kFrom, at + 1)) {
      const size_t from = at + kFrom.size();
      const std::string_view path = file.data.substr(from, file.data.find('\'', from) - from);
      EXPECT_FALSE(data_of(path).empty()) << file.path << " imports " << path;
    }
  }
}

// No address but the namespace of SVG, and none that a style sheet or a script would load.
TEST(WebFiles, NameNoOtherServer) {
  for (const WebFile& file : web_files()) {
    for (size_t at = file.data.find("http"); at != file.data.npos;
         at = file.data.find("http", at + 1)) {
      const std::string_view rest = file.data.substr(at);
      if (!rest.starts_with("http://") && !rest.starts_with("https://")) continue;
      EXPECT_TRUE(rest.starts_with("http://www.w3.org/2000/svg"))
          << file.path << ": " << rest.substr(0, 60);
    }
    EXPECT_EQ(file.data.find("@import"), file.data.npos) << file.path;
    EXPECT_EQ(file.data.find("url("), file.data.npos) << file.path;
  }
}

}  // namespace
}  // namespace glmoe::serve
