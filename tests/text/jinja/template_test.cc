#include "text/jinja/template.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/jinja/json_value.h"

namespace glmoe::jinja {
namespace {

using Variables = std::vector<std::pair<std::string, Value>>;

Variables variables_of(const OrderedJson& json) {
  Variables out;
  for (const auto& [name, value] : json.items()) {
    out.emplace_back(name, value_from_json(value.dump(), name));
  }
  return out;
}

std::string render(const std::string& source, const Variables& variables = {},
                   const Limits& limits = {}) {
  return Template(source, "test.jinja").render(variables, limits);
}

TEST(TemplateTest, RendersEveryReferenceSnippetLikeJinja2) {
  const std::string path = std::string(GLMOE_TEST_DATA) + "/text/template_cases.json";
  const OrderedJson reference = parse_ordered_json(read_text_file(path), path);
  const Variables variables = variables_of(reference["variables"]);
  ASSERT_GE(reference["snippets"].size(), 1000u);
  for (const auto& item : reference["snippets"]) {
    const auto source = item["source"].get<std::string>();
    if (item.contains("error")) {
      EXPECT_THROW(render(source, variables), Error) << source;
      continue;
    }
    try {
      EXPECT_EQ(render(source, variables), item["output"].get<std::string>()) << source;
    } catch (const Error& error) {
      ADD_FAILURE() << source << "\n  was refused: " << error.what();
    }
  }
}

TEST(TemplateTest, RendersOnManyThreadsAtATime) {
  const Template shared(
      "{% set ns = namespace(n=0) %}{% for i in range(200) %}"
      "{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ name }}",
      "shared");
  std::vector<std::thread> threads;
  std::vector<std::string> results(8);
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 20; ++turn) {
        results[i] = shared.render({{"name", Value(static_cast<int64_t>(i))}});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < results.size(); ++i) EXPECT_EQ(results[i], "19900" + std::to_string(i));
}

TEST(TemplateTest, RefusesASourceThatIsTooLong) {
  EXPECT_THROW(Template(std::string((size_t{1} << 20) + 1, 'x'), "long"), Error);
}

}  // namespace
}  // namespace glmoe::jinja
