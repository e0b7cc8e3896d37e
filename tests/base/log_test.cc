#include "base/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <memory>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace glmoe {
namespace {

// What one line becomes with use_json().
std::string json_line(const std::string& message) {
  std::ostringstream text;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_st>(text)));
  log::use_json();
  log::warn("{}", message);
  spdlog::set_default_logger(before);
  return text.str();
}

TEST(Log, WritesAMessageAsAFieldOfAJsonObject) {
  const std::string line = json_line("a \"quoted\"\nline \xff");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Json json = Json::parse(line);
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["message"], "a \"quoted\"\nline \xef\xbf\xbd");
  EXPECT_EQ(json["time"].get<std::string>().size(), std::string("2000-01-01T00:00:00.000Z").size());
}

TEST(Log, TakesTheFieldsOfAMessageThatIsAnObject) {
  const Json json = Json::parse(json_line(R"({"event":"request","status":200})"));
  EXPECT_EQ(json["event"], "request");
  EXPECT_EQ(json["status"], 200);
  EXPECT_EQ(json["level"], "warning");
}

TEST(Log, RefusesLevelsThatItDoesNotKnow) { EXPECT_THROW(log::set_level("loud"), Error); }

}  // namespace
}  // namespace glmoe
