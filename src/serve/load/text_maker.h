// Texts of a wanted number of tokens: with the server's tokenizer where it offers it, else of words
// that most tokenizers have as one token.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "serve/client/http_client.h"

namespace glmoe::serve {

class TextMaker {
 public:
  // `client` outlives it.
  TextMaker(HttpClient& client, std::string model, uint64_t seed);

  // Asks the server whether it tokenises. Throws RequestFailed where it cannot be reached.
  boost::asio::awaitable<void> start();
  bool exact() const { return form_ != Form::kNone; }

  // The same (stream, counter) gives the same text. Without the server's tokenizer, `num_tokens`
  // words. A text may have a token or two less where tokens cannot be cut there.
  boost::asio::awaitable<std::string> make(int64_t num_tokens, uint64_t stream, uint64_t counter);

 private:
  enum class Form { kNone, kPrompt, kContent };  // vLLM's and GLMoE's field, llama.cpp's
  std::string words(int64_t count, uint64_t stream, uint64_t counter) const;
  boost::asio::awaitable<std::vector<int64_t>> tokenize(const std::string& text);
  boost::asio::awaitable<std::string> detokenize(const std::vector<int64_t>& ids);
  const char* field() const { return form_ == Form::kContent ? "content" : "prompt"; }

  HttpClient& client_;
  std::string model_;
  uint64_t seed_;
  Form form_ = Form::kNone;
};

}  // namespace glmoe::serve
