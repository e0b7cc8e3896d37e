// What the tests of the JSON side share: a server without a model (fake_model_text.h), the error of
// a call, bodies with one field changed, hand-made deltas.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

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

}  // namespace glmoe::serve::testing
