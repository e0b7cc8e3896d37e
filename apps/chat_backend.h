// Who answers a chat: a server, or the engine in this process.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apps/client_flags.h"
#include "base/json.h"
#include "glmoe/llm.h"

namespace glmoe::apps {

// What /set changes; unset fields are left to the model or the server.
struct ChatSettings {
  SamplingParams sampling;
  std::optional<int64_t> max_tokens;
  std::optional<bool> thinking;
};

struct ChatPiece {
  std::string reasoning, content;
};

class ChatBackend {
 public:
  virtual ~ChatBackend() = default;
  // "NAME at URL", "ENGINE (CPU, 8 threads)".
  virtual std::string name() const = 0;
  // Blocks until the answer ends; false where `stop` ended it. Pieces are whole UTF-8. Throws
  // glmoe::Error; what came before was handed on.
  virtual bool answer(const OrderedJson& messages, const ChatSettings& settings,
                      const std::function<void(const ChatPiece&)>& on_piece,
                      const std::atomic<bool>& stop) = 0;
};

std::unique_ptr<ChatBackend> make_remote_chat(const ClientFlags& flags);
std::unique_ptr<ChatBackend> make_local_chat(const LlmOptions& options);

}  // namespace glmoe::apps
