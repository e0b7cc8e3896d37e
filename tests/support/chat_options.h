// The options that a recorded chat request names.
#pragma once

#include "base/json.h"
#include "glmoe/request.h"

namespace glmoe {

inline ChatOptions options_of(const OrderedJson& request) {
  ChatOptions options;
  if (request.contains("tools")) options.tools_json = request["tools"].dump();
  if (request.contains("enable_thinking")) {
    options.enable_thinking = request["enable_thinking"].get<bool>();
  }
  if (request.contains("add_generation_prompt")) {
    options.add_generation_prompt = request["add_generation_prompt"].get<bool>();
  }
  if (request.contains("template_kwargs")) {
    options.template_kwargs_json = request["template_kwargs"].dump();
  }
  return options;
}

}  // namespace glmoe
