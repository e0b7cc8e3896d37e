// What a request body becomes, whichever API it came by: engine requests, and a writer that turns
// their deltas into that API's answer. The HTTP side drives it and knows neither API.
//
//   ApiCall call = openai::read_chat_call(body, context);      // throws ApiError
//   submit every call.requests[i]; for a streamed call send call.writer->start();
//   for each delta of requests[i]: send call.writer->feed(i, delta, facts);
//   when all have finished: send call.writer->finish(), or the body call.writer->body().
//
// An ApiError from feed() or a failure on the way: cancel what runs; where nothing was sent yet
// answer with the error, else send writer->failure(error) and close.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "glmoe/llm.h"
#include "serve/api/api_error.h"
#include "serve/api/limits.h"
#include "serve/api/model_text.h"

namespace glmoe::serve {

// What the readers need to know of the server. Outlives every call.
struct ApiContext {
  const ModelText* text = nullptr;
  std::vector<std::string> model_names;  // not empty; the first is used where none is asked for
  int64_t max_model_len = 0;             // LLM::max_seq_len
  int64_t created = 0;                   // Unix seconds: when the model was loaded
  ServeLimits limits;
  bool parse_reasoning = true;  // false: reasoning and its tags stay in the content
  bool parse_tools = true;      // false: tool calls stay text
};

// A server-sent event. Without a name only its data are sent.
struct ServerEvent {
  std::string name;
  std::string data;  // one line
};
using ServerEvents = std::vector<ServerEvent>;

// What the stream of a request knows beside its deltas.
struct RequestFacts {
  int64_t num_cached_tokens = 0;  // RequestMetrics::num_cached_tokens; final with the last delta
  // Only where SamplingParams::prompt_logprobs was set, from the first delta on.
  std::vector<PositionLogprobs> prompt_logprobs;
};

// What the access log says of a call that has ended.
struct CallTotals {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  std::string finish_reason;  // of the first answer, in the API's words
};

// One call's answer. Used by one thread at a time. Functions that return events may only be called
// on a streamed call; body() only on one that is not.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  virtual ServerEvents start() = 0;
  // The next delta of requests[which]; none may follow its request_finished. A call that is not
  // streamed collects and returns nothing. Throws ApiError where the answer failed (kError).
  virtual ServerEvents feed(size_t which, const OutputDelta& delta, const RequestFacts& facts) = 0;
  virtual ServerEvents finish() = 0;
  virtual ServerEvents failure(const HttpError& error) = 0;
  virtual ServerEvents keep_alive() = 0;  // harmless; for long silences

  // After the last delta. Throws ApiError where time ran out or the call was cancelled before
  // there was anything to show.
  virtual std::string body() = 0;
  virtual CallTotals totals() const = 0;
};

struct ApiCall {
  std::vector<Request> requests;  // prompts are token ids
  bool stream = false;
  std::unique_ptr<AnswerWriter> writer;
  std::vector<std::string> warnings;  // for the log: fields that had no effect, and why
};

}  // namespace glmoe::serve
