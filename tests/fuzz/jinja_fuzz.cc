// Fuzz target: templates and the messages they get. Mirrors: no one file, because lexer, parser,
// interpreter and library are reached through the template alone.
//
// Input: a template, then optionally a line "\n---\n" and JSON. The template is rendered with that
// JSON as its messages under small limits; anything but an Error is a finding.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "glmoe/error.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kSeparator = "\n---\n";
  const size_t split = input.find(kSeparator);
  const std::string_view source = input.substr(0, split);
  const std::string_view messages =
      split == std::string_view::npos
          ? R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": null,
                "tool_calls": [{"function": {"name": "f", "arguments": "{\"a\": [1, 2.5, \"é\"]}"}}]}])"
          : input.substr(split + kSeparator.size());
  const glmoe::jinja::Limits limits{.max_steps = 20'000,
                                    .max_output_bytes = 1 << 16,
                                    .max_value_bytes = 1 << 22,
                                    .max_time_ms = 10'000};
  try {
    const glmoe::ChatTemplate chat(source, "", "fuzz");
    chat.render(messages, {.tools_json = R"([{"name": "f", "parameters": {"x": [1]}}])"}, limits);
  } catch (const glmoe::Error& error) {
    if (error.code() == glmoe::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
