// From tokenizer.json to the parts of a Tokenizer: reads every field, refuses what it cannot do.
#pragma once

#include <string>
#include <string_view>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pre_tokenizer.h"

namespace glmoe {

struct TokenizerParts {
  Bpe bpe;
  AddedTokens added;
  PreTokenizer pre_tokenizer;
};

// `config_json` (tokenizer_config.json) may be empty. Errors as Tokenizer::from_folder.
TokenizerParts build_tokenizer(std::string_view tokenizer_json, std::string_view config_json,
                               const std::string& what);

}  // namespace glmoe
