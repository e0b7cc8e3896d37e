#include "text/jinja/interpreter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "text/jinja/template.h"

namespace glmoe::jinja {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// "code: message" of the Error, or "rendered: " and the text.
std::string outcome(const std::string& source, const Limits& limits = {}) {
  try {
    return "rendered: " + Template(source, "test.jinja").render({}, limits).substr(0, 100);
  } catch (const Error& error) {
    return std::string(error_code_name(error.code())) + ": " + error.what();
  }
}

TEST(InterpreterTest, NamesTemplateAndLineOfAMistake) {
  EXPECT_EQ(
      outcome("a\n{% if true %}\n{{ 1 + 'x' }}\n{% endif %}"),
      "invalid_argument: test.jinja, line 3: unsupported operand types for +: 'int' and 'str'");
  EXPECT_EQ(outcome("{{ x.y }}"), "invalid_argument: test.jinja, line 1: 'x' is undefined");
  EXPECT_EQ(outcome("\n\n{{ {'a': 1}.b.c }}"),
            "invalid_argument: test.jinja, line 3: 'dict object' has no attribute 'b'");
  EXPECT_EQ(outcome("{% macro f() %}\n\n{{ none + 1 }}{% endmacro %}\n{{ f() }}"),
            "invalid_argument: test.jinja, line 3: unsupported operand types for +: 'NoneType' and "
            "'int'");
}

TEST(InterpreterTest, StopsAtTheLimitOfSteps) {
  const std::string loops =
      "{% for a in range(1000) %}{% for b in range(1000) %}"
      "{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}";
  EXPECT_THAT(outcome(loops, {.max_steps = 100'000}), HasSubstr("more than 100000 steps"));
  EXPECT_EQ(outcome("{% for a in range(100) %}{% endfor %}", {.max_steps = 1000}), "rendered: ");
}

TEST(InterpreterTest, StopsAtTheLimitOfTime) {
  const auto start = std::chrono::steady_clock::now();
  const std::string loops =
      "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}"
      "{% endfor %}";
  EXPECT_THAT(outcome(loops, {.max_steps = size_t{1} << 60,
                              .max_output_bytes = size_t{1} << 60,
                              .max_time_ms = 50}),
              HasSubstr("not done after 50 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// Sixteen renderings on one processor: each waits for the others for longer than it may compute.
TEST(InterpreterTest, CountsNoTimeInWhichOthersHaveTheProcessor) {
  const std::string loops =
      "{% for a in range(200) %}{% for b in range(500) %}{{ b }}{% endfor %}{% endfor %}";
  const auto start = std::chrono::steady_clock::now();
  outcome(loops, {.max_time_ms = 60'000});
  const auto alone = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  const Limits limits{.max_time_ms = 4 * alone.count() + 4};
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  std::vector<std::string> outcomes(16);
  std::vector<std::thread> threads;
  for (std::string& text : outcomes) {
    threads.emplace_back([&] {
      sched_setaffinity(0, sizeof(one), &one);
      text = outcome(loops, limits);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : outcomes) EXPECT_THAT(text, StartsWith("rendered: 0123"));
}

TEST(InterpreterTest, StopsAtTheLimitOfOutput) {
  EXPECT_THAT(
      outcome("{% for a in range(1000) %}0123456789{% endfor %}", {.max_output_bytes = 5000}),
      HasSubstr("more than 5000 bytes of output"));
  EXPECT_THAT(outcome("{% set x %}{% for a in range(1000) %}0123456789{% endfor %}{% endset %}",
                      {.max_output_bytes = 5000}),
              HasSubstr("5000 bytes"));
}

TEST(InterpreterTest, RefusesStringsAndListsThatGrowWithoutEnd) {
  const std::string doubled =
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}"
      "{% set ns.x = ns.x + ns.x %}{% endfor %}";
  EXPECT_THAT(outcome(doubled), HasSubstr("a string of more than"));
  EXPECT_THAT(outcome("{{ 'a' * 10000000 }}"), HasSubstr("a string of more than"));
  EXPECT_THAT(outcome("{{ 'a' * 9000000000000000000 }}"), HasSubstr("too long"));
  EXPECT_THAT(outcome("{{ ([1] * 9000000000000000000)|length }}"), HasSubstr("too long"));
  EXPECT_THAT(outcome("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}"
                      "{% set ns.x = ns.x + ns.x %}{% endfor %}",
                      {.max_value_bytes = size_t{1} << 20}),
              HasSubstr("bytes of values"));
  EXPECT_THAT(outcome("{{ range(100000)|join('x' * 100000)|length }}"), HasSubstr("too long"));
  EXPECT_THAT(outcome("{{ ('a' * 100000).replace('a', 'b' * 100000)|length }}"),
              HasSubstr("too long"));
  EXPECT_THAT(outcome("{{ ('a' * 100000)|replace('', 'b' * 100000)|length }}"),
              HasSubstr("too long"));
  EXPECT_THAT(outcome("{{ 'a'|indent(1000000000) }}"), HasSubstr("4096"));
  EXPECT_THAT(outcome("{{ 'a'.zfill(1000000000) }}"), HasSubstr("4096"));
}

TEST(InterpreterTest, RefusesConcatenationsThatAreTooLongBeforeTheyAreMade) {
  std::string source = "{% set x = 'a' * 4000000 %}{{ x";
  for (int i = 0; i < 5000; ++i) source += " ~ x";
  EXPECT_THAT(outcome(source + " }}"), HasSubstr("a string of more than"));
}

TEST(InterpreterTest, CountsTheWorkOfDictsWithManyKeysThatAreNoStrings) {
  EXPECT_THAT(outcome("{% set ns = namespace(x=[]) %}{% for i in range(3000) %}"
                      "{% set ns.x = ns.x + [(i, i)] %}{% endfor %}"
                      "{% for i in range(1000) %}{% set d = dict(ns.x) %}{% endfor %}",
                      {.max_time_ms = 60'000}),  // a slow machine still counts to the end
              HasSubstr("steps"));
}

// Each list holds the one before twice, so that its text doubles while its size does not.
TEST(InterpreterTest, RefusesSmallValuesThatStandForHugeOnes) {
  const std::string build =
      "{% set ns = namespace(x=['abcdefgh'], y=['abcdefgh']) %}"
      "{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  EXPECT_THAT(outcome(build + "{{ ns.x }}"), HasSubstr("bytes"));
  EXPECT_THAT(outcome(build + "{{ ns.x|string|length }}"), HasSubstr("bytes"));
  EXPECT_THAT(outcome(build + "{{ ns.x|tojson|length }}", {.max_steps = 100'000}),
              StartsWith("invalid_argument"));
  EXPECT_THAT(outcome(build + "{{ ns.x == ns.y }}"), HasSubstr("too large"));
  EXPECT_THAT(outcome(build + "{{ ns.x < ns.y }}"), HasSubstr("too large"));
  EXPECT_THAT(outcome(build + "{{ ns.x in [ns.y] }}"), HasSubstr("too large"));
  EXPECT_EQ(outcome(build + "{{ ns.x == ns.x }}"), "rendered: True");
}

TEST(InterpreterTest, RefusesValuesThatNestWithoutEnd) {
  EXPECT_THAT(outcome("{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
                      "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("nested deeper than 128 levels"));
  EXPECT_THAT(outcome("{% set ns = namespace(x={}) %}{% for i in range(1000) %}"
                      "{% set ns.x = {'k': ns.x} %}{% endfor %}"),
              HasSubstr("nested deeper than 128 levels"));
}

TEST(InterpreterTest, BearsNamespacesThatReferToThemselvesAndEachOther) {
  EXPECT_EQ(outcome("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.list = [ns] %}"
                    "{{ ns.me.me.me.list[0] is sameas ns }}"),
            "rendered: True");
  EXPECT_THAT(outcome("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(outcome("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns|tojson }}"),
              HasSubstr("not JSON serializable"));
  // A chain of many namespaces is taken apart without recursion.
  EXPECT_EQ(outcome("{% set head = namespace(last=namespace()) %}{% for i in range(100000) %}"
                    "{% set last = head.last %}{% set next = namespace() %}"
                    "{% set last.next = next %}{% set head.last = next %}{% endfor %}done",
                    {.max_time_ms = 60'000}),
            "rendered: done");
}

TEST(InterpreterTest, RefusesMacrosThatCallThemselvesWithoutEnd) {
  EXPECT_THAT(outcome("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("macros call each other deeper than 128 levels"));
  EXPECT_THAT(outcome("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}"
                      "{% endmacro %}{{ a() }}"),
              HasSubstr("128 levels"));
  std::string wide = "{% macro f() %}";
  for (int i = 0; i < 60; ++i) wide += "{% if true %}";
  wide += "{{ f() }}";
  for (int i = 0; i < 60; ++i) wide += "{% endif %}";
  wide += "{% endmacro %}{{ f() }}";
  EXPECT_THAT(outcome(wide), HasSubstr("levels"));
}

TEST(InterpreterTest, LetsMacrosRecurseAsFarAsTheLimit) {
  EXPECT_EQ(outcome("{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{% else %}end{% endif %}"
                    "{% endmacro %}{{ f(100) }}"),
            "rendered: end");
}

TEST(InterpreterTest, GivesNoWayToPythonOrTheSystem) {
  for (const std::string source :
       {"{{ ''.__class__ }}", "{{ [].__class__ }}", "{{ {}.__init__ }}", "{{ range.__globals__ }}",
        "{{ namespace.__init__ }}", "{{ ''['__class__'] }}"}) {
    EXPECT_EQ(outcome(source), "rendered: ") << source;
  }
  for (const std::string source :
       {"{{ ''.__class__.__mro__ }}", "{{ range.__globals__['os'] }}", "{{ cycler.__init__() }}",
        "{{ self.__dict__.x }}", "{{ lipsum.__globals__.os.popen('id') }}",
        "{{ open('/etc/passwd').read() }}", "{{ config.items() }}", "{{ eval('1') }}",
        "{{ __import__('os') }}"}) {
    EXPECT_THAT(outcome(source), StartsWith("invalid_argument")) << source;
  }
  EXPECT_THAT(outcome("{{ ''|attr('__class__') }}"), StartsWith("unsupported"));
}

TEST(InterpreterTest, RefusesWhatWouldChangeTheCallersValues) {
  EXPECT_THAT(outcome("{% set l = [1] %}{{ l.append(2) }}"), HasSubstr("'append' would change"));
  EXPECT_THAT(outcome("{% set d = {'a': 1} %}{{ d.update({}) }}"), HasSubstr("'update'"));
  EXPECT_THAT(outcome("{% set d = {'a': 1} %}{% set d.a = 2 %}"), HasSubstr("not a namespace"));
}

TEST(InterpreterTest, RefusesWholeNumbersBeyond64Bits) {
  for (const std::string source :
       {"{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
        "{{ 9223372036854775807 * 2 }}", "{{ 2 ** 64 }}", "{{ 3 ** 1000000 }}",
        "{{ -(-9223372036854775807 - 1) }}", "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ (-9223372036854775807 - 1)|abs }}"}) {
    EXPECT_THAT(outcome(source), HasSubstr("64 bits")) << source;
  }
  EXPECT_EQ(outcome("{{ (-9223372036854775807 - 1) % -1 }}").substr(0, 8), "invalid_");
  EXPECT_EQ(outcome("{{ [1, 2][::-9223372036854775807 - 1] }}"), "rendered: [2]");
  EXPECT_EQ(outcome("{{ 2 ** 62 }}"), "rendered: 4611686018427387904");
}

TEST(InterpreterTest, TellsTheTime) {
  EXPECT_THAT(outcome("{{ strftime_now('%Y-%m-%d') }}"),
              ::testing::MatchesRegex("rendered: 20..-..-.."));
  EXPECT_EQ(outcome("{{ strftime_now('') }}"), "rendered: ");
  EXPECT_THAT(outcome("{{ strftime_now('%c' * 1000) }}"), HasSubstr("256"));
}

TEST(InterpreterTest, SaysWhatItDoesNotDo) {
  EXPECT_THAT(outcome("{{ '%s' % 1 }}"), StartsWith("unsupported"));
  EXPECT_THAT(outcome("{{ '{}'.format(1) }}"), StartsWith("unsupported"));
  EXPECT_THAT(outcome("{{ 1|frobnicate }}"), HasSubstr("no filter named 'frobnicate'"));
  EXPECT_THAT(outcome("{{ 1 is frobnicated }}"), HasSubstr("no test named 'frobnicated'"));
}

}  // namespace
}  // namespace glmoe::jinja
