// Fuzz target: request bodies of all end points. Mirrors: no one file, because the readers and
// writers of both APIs are reached through their public functions.
//
// Input: a byte that chooses the end point, then the body. A refusal is an ApiError of status 4xx,
// or an Error that does not say kInternal; its own body has to be JSON. A body that is accepted
// gets an answer of every kind of output, which has to be JSON throughout. All else is a finding.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "glmoe/error.h"
#include "serve/anthropic/api.h"
#include "serve/api/json_fields.h"
#include "serve/fake_model_text.h"
#include "serve/openai/api.h"

namespace {

using namespace glmoe;
using namespace glmoe::serve;

void check_json(const std::string& text) {
  if (!OrderedJson::accept(text)) __builtin_trap();
}

void check_events(const ServerEvents& events) {
  for (const ServerEvent& event : events) {
    if (event.data != "[DONE]") check_json(event.data);
    if (event.data.find('\n') != std::string::npos) __builtin_trap();
  }
}

OutputDelta delta(const std::string& text, int64_t index, FinishReason reason) {
  OutputDelta result;
  result.index = index;
  result.text = text;
  result.token_ids = {'a', 0xE2};
  result.logprobs = {{{'a', -0.5f, 2}, {'b', -0.1f, 1}}, {{0xE2, -1.0f, 1}}};
  result.finish_reason = reason;
  return result;
}

void answer(ApiCall& call) {
  AnswerWriter& writer = *call.writer;
  if (call.stream) check_events(writer.start());
  const std::string text = testing::reasoning("r") + testing::content(" c\n") +
                           testing::call_name(0, "f") + testing::call_arguments(0, "{\"a\": \"");
  const RequestFacts facts{.prompt_logprobs = {{}, {{'a', -1.0f, 1}}}};
  for (size_t i = 0; i < call.requests.size(); ++i) {
    for (int64_t n = 0; n < call.requests[i].sampling.n; ++n) {
      check_events(writer.feed(i, delta(text, n, FinishReason::kNone), facts));
      check_events(writer.feed(i, delta("", n, FinishReason::kStop), facts));
    }
  }
  if (call.stream) {
    check_events(writer.finish());
  } else {
    check_json(writer.body());
  }
}

void run(uint8_t which, std::string_view body, const ApiContext& context) {
  ApiCall call;
  switch (which % 7) {
    case 0: call = openai::read_chat_call(body, context); break;
    case 1: call = openai::read_completion_call(body, context); break;
    case 2: call = anthropic::read_messages_call(body, context); break;
    case 3: return check_json(anthropic::count_tokens_body(body, context));
    case 4: return check_json(openai::tokenize_body(body, context));
    case 5: return check_json(openai::detokenize_body(body, context));
    default: return check_json(openai::apply_template_body(body, context));
  }
  answer(call);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  testing::FakeServer server;
  server.text.glm47 = (data[0] & 0x80) != 0;
  server.context.limits.max_answers = 4;
  try {
    run(data[0] & 0x7F, {reinterpret_cast<const char*>(data) + 1, size - 1}, server.context);
  } catch (const ApiError& error) {
    if (error.error.status < 400 || error.error.status >= 500) __builtin_trap();
    check_json(error_body(error.error, ErrorStyle::kOpenAi));
    check_json(error_body(error.error, ErrorStyle::kAnthropic));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
