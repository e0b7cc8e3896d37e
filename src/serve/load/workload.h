// The requests of a load: random texts, texts with shared beginnings, or a file's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/client/http_client.h"

namespace glmoe::serve {

struct WorkloadOptions {
  bool chat = true;  // /v1/chat/completions; else /v1/completions
  std::string model;
  // Random texts.
  int64_t input_len = 512;  // tokens of the message, without the chat template's
  int64_t output_len = 128;
  double range_ratio = 0.0;  // lengths are uniform in [len * (1 - r), len * (1 + r)]
  int64_t prefix_len = 0;    // tokens in front that num_prefixes texts share among all requests
  int64_t num_prefixes = 1;
  // Or a file: its path. JSON lines, or ShareGPT's JSON list.
  std::string file;
  std::optional<int64_t> file_output_len;  // in place of the file's own
  std::optional<bool> ignore_eos;          // unset: for random texts only
  std::optional<double> temperature;
  std::string extra_body;  // a JSON object merged into every body
  uint64_t seed = 0;
};

struct LoadPrompt {
  Json messages_or_prompt;
  int64_t max_tokens = 0;  // 0: the server's default
};

class Workload {
 public:
  // Reads the file, if any. Throws kNotFound, kIo, kCorrupt or kInvalidArgument naming file and
  // line.
  explicit Workload(WorkloadOptions options);

  // Makes `count` prompts; a file's are taken again from its beginning where it has fewer.
  boost::asio::awaitable<void> prepare(HttpClient& client, int64_t count);

  std::string target() const { return options_.chat ? "/v1/chat/completions" : "/v1/completions"; }
  // The request's body as JSON text. Requests beyond those prepared begin anew.
  std::string body(int64_t index) const;
  // How prompts are made: "tokens of the server (/tokenize)", "words, ...", "FILE, 20 prompts".
  const std::string& origin() const { return origin_; }

 private:
  boost::asio::awaitable<void> make_random(HttpClient& client, int64_t count);
  int64_t length(int64_t mean, uint64_t stream, int64_t index) const;

  WorkloadOptions options_;
  Json extra_ = Json::object();
  std::string origin_;
  std::vector<LoadPrompt> prompts_;
};

// The prompts of a file: JSON lines {"prompt"|"messages", "max_tokens"}, or ShareGPT's list of
// {"conversations": [{"from", "value"}]}, of which the first question counts and the answer's
// length. Throws as above.
std::vector<LoadPrompt> read_load_file(const std::string& path, bool chat);

}  // namespace glmoe::serve
