// From messages to the token ids of a prompt, with text kept apart from markup.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace glmoe {

// The ids of the rendered prompt. Text of messages and tools that spells an added token is encoded
// as ordinary text, so that it can open no turn; all else is as if the prompt were rendered and
// encoded (options.allow_special_tokens does just that). Only /nothink stays what it is; of what
// the assistant wrote, only tokens that open a turn are kept text. template_kwargs are trusted.
// Throws as ChatTemplate::render and Tokenizer::encode.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                 std::string_view messages_json, const ChatOptions& options = {});

}  // namespace glmoe
