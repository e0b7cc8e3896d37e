#include "text/chat_encoder.h"

#include "text/markup_guard.h"

namespace glmoe {

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view messages_json, const ChatOptions& options) {
  if (options.allow_special_tokens) {
    return tokenizer.encode(chat_template.render(messages_json, options));
  }
  const std::string_view inputs[] = {messages_json, options.tools_json,
                                     options.template_kwargs_json};
  MarkupGuard guard(tokenizer, inputs);
  const std::string prompt = chat_template.render(messages_json, options, {}, &guard);
  return guard.used() ? tokenizer.encode_without(prompt, guard.fillers())
                      : tokenizer.encode(prompt);
}

}  // namespace glmoe
