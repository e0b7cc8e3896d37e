// The gate for a caller's sampling parameters: everything is checked here, once, and every default
// is filled in, so that scheduler and sampler need not look again.
#pragma once

#include <cstdint>
#include <optional>

#include "glmoe/request.h"
#include "step/step.h"

namespace glmoe {

// What the model's generation_config.json says; unset where it says nothing.
struct SamplingDefaults {
  std::optional<bool> do_sample;
  std::optional<float> temperature;
  std::optional<int64_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
};

// Request, else the model's default, else the default in glmoe/request.h. A model with do_sample
// false is greedy unless the request sets temperature, top_k or top_p; a request with temperature
// is taken at its word. `fallback_seed` serves requests without seed.
//
// `stream` is left 0 (answer i of n takes i) and `stop_token_ids` are the request's own (the caller
// adds the model's end tokens unless ignore_eos). Everything in SamplingParams is checked, also
// what is not part of the result. Throws kInvalidArgument naming field, value and allowed range; a
// wrong model default is named as generation_config.json's.
ResolvedSampling resolve_sampling(const SamplingParams& params, const SamplingDefaults& defaults,
                                  int64_t vocab_size, uint64_t fallback_seed);

}  // namespace glmoe
