// What is behind ChatParser; LLM makes it.
#pragma once

#include <memory>
#include <span>

#include "glmoe/chat.h"
#include "text/chat_parser.h"

namespace glmoe {

struct ChatParser::Impl {
  Impl(std::shared_ptr<const Tokenizer> tokenizer, std::span<const int32_t> prompt,
       const ChatParserOptions& options)
      : parser(std::move(tokenizer), prompt, options) {}
  ChatAnswerParser parser;
};

}  // namespace glmoe
