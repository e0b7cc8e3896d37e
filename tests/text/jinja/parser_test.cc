#include "text/jinja/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "base/error.h"

namespace glmoe::jinja {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// "ok", or "code: message" of the Error.
std::string outcome(const std::string& source) {
  try {
    Symbols symbols;
    const std::string what = "test.jinja";
    parse(tokenize(source, what), symbols, what);
    return "ok";
  } catch (const Error& error) {
    return std::string(error_code_name(error.code())) + ": " + error.what();
  }
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(ParserTest, SaysWhatWasWantedAndInWhichLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% if %}", "line 2: an expression was wanted, found '%}'"},
      {"{{ 1 + }}", "line 1: an expression was wanted, found '}}'"},
      {"{% for x of y %}", "'in' was wanted, found 'of'"},
      {"{% if a %}\n{% for b in c %}", "the template ends where {% endfor %} was wanted"},
      {"{% if a %}{% endfor %}", "unknown tag 'endfor'"},
      {"{% endif %}", "unknown tag 'endif'"},
      {"{% if a %}{% else %}{% else %}{% endif %}", "unknown tag 'else'"},
      {"{% set 5 = 1 %}", "a name was wanted, found '5'"},
      {"{% set none = 1 %}", "'none' cannot be assigned to"},
      {"{% macro f(a=1, b) %}{% endmacro %}", "parameter 'b' without default"},
      {"{% macro f(a, a) %}{% endmacro %}", "parameter 'a' appears twice"},
      {"{{ f(a=1, 2) }}", "an argument without name after one with a name"},
      {"{{ f(a=1, a=2) }}", "argument 'a' is given twice"},
      {"{{ a b }}", "'}}' was wanted, found 'b'"},
      {"{% call 1 %}{% endcall %}", "a call was wanted"},
      {"{% break %}", "'break' outside of a loop"},
      {"{% for a in b %}{% macro f() %}{% continue %}{% endmacro %}{% endfor %}",
       "'continue' outside of a loop"},
      {"{{ a is defined is string }}", "chained"},
      {"{{ 99999999999999999999 }}", "does not fit in 64 bits"},
  };
  for (const auto& [source, wanted] : cases) {
    EXPECT_THAT(outcome(source),
                ::testing::AllOf(StartsWith("corrupt: test.jinja, line"), HasSubstr(wanted)))
        << source;
  }
}

TEST(ParserTest, NamesTagsThatAreLeftOut) {
  for (const std::string tag : {"import 'x' as y", "from 'x' import y", "include 'x'",
                                "extends 'x'", "block x", "autoescape true", "do x"}) {
    EXPECT_THAT(outcome("{% " + tag + " %}"), StartsWith("unsupported: test.jinja, line 1")) << tag;
  }
  EXPECT_THAT(outcome("{% for x in y recursive %}{% endfor %}"), StartsWith("unsupported"));
  EXPECT_THAT(outcome("{{ f(*x) }}"), StartsWith("unsupported"));
}

TEST(ParserTest, RefusesWhatNestsTooDeeply) {
  const int deep = 100'000;
  EXPECT_THAT(outcome("{{ " + repeated("(", deep) + "a" + repeated(")", deep) + " }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{{ " + repeated("[", deep) + repeated("]", deep) + " }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{{ " + repeated("{1:", deep) + "1" + repeated("}", deep) + " }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{{ " + repeated("not ", deep) + "a }}"), HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{{ " + repeated("- ", deep) + "a }}"), HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{{ " + repeated("a if b else ", deep) + "c }}"), HasSubstr("nested deeper"));
  EXPECT_THAT(outcome(repeated("{% if a %}", deep)), HasSubstr("nested deeper"));
  EXPECT_THAT(outcome("{% set " + repeated("(", deep) + repeated(")", deep) + " = 1 %}"),
              HasSubstr("nested deeper"));
  for (const std::string step : {" + a", " * a", " | f", ".a", "[0]", "()", " and a", " ** a"}) {
    EXPECT_THAT(outcome("{{ a" + repeated(step, deep) + " }}"), HasSubstr("levels")) << step;
  }
}

TEST(ParserTest, TakesWhatIsLongButNotDeep) {
  EXPECT_EQ(outcome("{{ a" + repeated(" ~ a", 5000) + " }}"), "ok");
  EXPECT_EQ(outcome("{{ [a" + repeated(", a", 5000) + "] }}"), "ok");
  EXPECT_EQ(outcome("{% if a %}" + repeated("{% elif b %}", 5000) + "{% endif %}"), "ok");
  EXPECT_EQ(outcome("{{ a" + repeated(" + a", 300) + " }}"), "ok");
}

}  // namespace
}  // namespace glmoe::jinja
