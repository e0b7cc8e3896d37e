// From messages to a prompt: the checkpoint's own chat template.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glmoe/request.h"
#include "text/jinja/limits.h"
#include "text/jinja/template.h"
#include "text/markup_guard.h"

namespace glmoe {

// Immutable; any number of threads may render at a time.
class ChatTemplate {
 public:
  // chat_template.jinja, else "chat_template" of tokenizer_config.json: a string, or a list of
  // named templates. nullptr where the folder has neither. Throws kCorrupt or kUnsupported, with
  // file and line, for a template that does not parse.
  static std::unique_ptr<ChatTemplate> from_folder(const std::string& folder);
  // `config_json` (tokenizer_config.json) gives bos_token and its kin; may be empty.
  ChatTemplate(std::string_view source, std::string_view config_json, const std::string& what);

  // `messages_json`: a JSON array of messages in OpenAI's form. Arguments of tool calls that come
  // as JSON text are parsed first, as templates expect. Throws kInvalidArgument for malformed
  // messages, tools or template_kwargs, for variables that template_kwargs may not set, and for
  // what the template itself refuses (with its line). `guard` marks the text of messages and tools,
  // so that it can be kept from becoming markup.
  std::string render(std::string_view messages_json, const ChatOptions& options = {},
                     const jinja::Limits& limits = {}, MarkupGuard* guard = nullptr) const;

 private:
  ChatTemplate() = default;
  void read_config(std::string_view config_json, const std::string& what);
  void add_named(std::string name, std::string_view source, const std::string& what);
  const jinja::Template& choose(bool with_tools) const;

  std::vector<std::pair<std::string, jinja::Template>> templates_;  // by name
  std::vector<std::pair<std::string, jinja::Value>> special_tokens_;
};

}  // namespace glmoe
