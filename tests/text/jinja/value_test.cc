#include "text/jinja/value.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace glmoe::jinja {
namespace {

TEST(ValueTest, WritesFloatsLikePython) {
  const std::pair<double, const char*> cases[] = {
      {0.0, "0.0"},
      {-0.0, "-0.0"},
      {1.0, "1.0"},
      {-1.5, "-1.5"},
      {0.1, "0.1"},
      {0.1 + 0.2, "0.30000000000000004"},
      {1e-4, "0.0001"},
      {1e-5, "1e-05"},
      {1.25e-7, "1.25e-07"},
      {123456789.125, "123456789.125"},
      {1e15, "1000000000000000.0"},
      {9999999999999998.0, "9999999999999998.0"},
      {1e16, "1e+16"},
      {1.5e300, "1.5e+300"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {INFINITY, "inf"},
      {-INFINITY, "-inf"},
      {NAN, "nan"},
  };
  for (const auto& [value, text] : cases) EXPECT_EQ(float_repr(value), text);
}

TEST(ValueTest, FindsKeysInSmallAndLargeDicts) {
  for (const int count : {1, 11, 12, 13, 200}) {
    Dict dict;
    for (int i = 0; i < count; ++i) dict.set(Value(fmt::format("k{}", i)), Value(i));
    dict.set(Value(5), Value("five"));  // beside strings, any key
    dict.set(Value("k0"), Value("new"));
    ASSERT_EQ(dict.entries().size(), static_cast<size_t>(count + 1));
    EXPECT_EQ(dict.find(std::string_view("k0"))->as_string(), "new");
    EXPECT_EQ(dict.entries()[0].value.as_string(), "new");
    EXPECT_EQ(dict.find(Value(5.0))->as_string(), "five");
    EXPECT_EQ(dict.find(std::string_view("k999")), nullptr);
    EXPECT_EQ(dict.find(Value(7)), nullptr);
    if (count > 1) {
      EXPECT_EQ(dict.find(Value(fmt::format("k{}", count - 1)))->as_int(), count - 1);
    }
  }
}

TEST(ValueTest, ComparesLikePython) {
  const auto same = [](const Value& a, const Value& b) {
    size_t work = 0;
    return equals(a, b, work);
  };
  EXPECT_TRUE(same(1, 1.0));
  EXPECT_TRUE(same(true, 1));
  EXPECT_FALSE(same("1", 1));
  EXPECT_FALSE(same(None{}, false));
  EXPECT_TRUE(same(Value(), Value::undefined("x")));
  EXPECT_FALSE(same(std::nan(""), std::nan("")));
  EXPECT_TRUE(same(Value::list({1, 2}), Value::list({1.0, 2})));
  EXPECT_FALSE(same(Value::list({1}), Value::list({1}, Flavor::kTuple)));
}

TEST(ValueTest, CountsItsNesting) {
  Value value = 1;
  EXPECT_EQ(value.nesting_depth(), 0);
  for (int i = 1; i <= kMaxNesting; ++i) {
    value = Value::list({value});
    EXPECT_EQ(value.nesting_depth(), i);
  }
  EXPECT_THROW(Value::list({value}), RenderError);
  Dict dict;
  EXPECT_THROW(dict.set(Value("k"), value), RenderError);
}

}  // namespace
}  // namespace glmoe::jinja
