// What the tests of the JSON side share: a server without a model (fake_model_text.h), the error of
// a call, bodies with one field changed, tables of refusals, hand-made deltas and their answers.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "serve/fake_model_text.h"

namespace glmoe::serve::testing {

// The error that `call` throws; a failure of the test where it throws none.
inline HttpError error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ApiError& error) {
    return error.error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not an ApiError: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

// A body with one field set to `value` (JSON text), or taken away where it is empty.
inline std::string with_field(const std::string& body, const std::string& field,
                              const std::string& value) {
  OrderedJson json = OrderedJson::parse(body);
  if (value.empty()) {
    json.erase(field);
  } else {
    json[field] = OrderedJson::parse(value);
  }
  return json.dump();
}

// A part of a request that is wrong, and the field that the error has to name.
struct WrongPart {
  std::string json;
  std::string param;
};
inline void expect_refusals(std::span<const WrongPart> parts,
                            const std::function<HttpError(const std::string&)>& refused) {
  for (const WrongPart& part : parts) {
    const HttpError error = refused(part.json);
    EXPECT_EQ(error.status, 400) << part.json;
    EXPECT_EQ(error.param, part.param) << part.json << ": " << error.message;
  }
}

// The same of one field.
struct WrongField {
  std::string field;
  std::string value;
  std::string param;
};
inline void expect_refusals(
    std::span<const WrongField> fields,
    const std::function<HttpError(const std::string&, const std::string&)>& refused) {
  for (const WrongField& wrong : fields) {
    const WrongPart part{wrong.field + " = " + wrong.value, wrong.param};
    expect_refusals({&part, 1}, [&](const auto&) { return refused(wrong.field, wrong.value); });
  }
}

inline OutputDelta delta_of(const std::string& text, int64_t num_tokens = 1,
                            FinishReason reason = FinishReason::kNone, int64_t index = 0) {
  OutputDelta delta;
  delta.index = index;
  delta.text = text;
  for (int64_t i = 0; i < num_tokens; ++i) {
    delta.token_ids.push_back(static_cast<int32_t>('a' + i));
    delta.logprobs.push_back(
        {{static_cast<int32_t>('a' + i), -0.5f, 2}, {static_cast<int32_t>('z'), -0.25f, 1}});
  }
  delta.finish_reason = reason;
  return delta;
}

// What a client gets of a call with one request, to the end: the events of a stream,
inline ServerEvents all_events(AnswerWriter& writer, const std::vector<OutputDelta>& deltas,
                               const RequestFacts& facts = {}) {
  ServerEvents events = writer.start();
  for (const OutputDelta& delta : deltas) {
    for (ServerEvent& event : writer.feed(0, delta, facts)) events.push_back(std::move(event));
  }
  for (ServerEvent& event : writer.finish()) events.push_back(std::move(event));
  return events;
}

// and the body where it is not streamed.
inline OrderedJson whole_body(AnswerWriter& writer, const std::vector<OutputDelta>& deltas,
                              const RequestFacts& facts = {}) {
  for (const OutputDelta& delta : deltas) EXPECT_TRUE(writer.feed(0, delta, facts).empty());
  return OrderedJson::parse(writer.body());
}

}  // namespace glmoe::serve::testing
