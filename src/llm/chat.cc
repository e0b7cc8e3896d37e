// ChatParser's public face: the parser itself is src/text/chat_parser.
#include "glmoe/chat.h"

#include <utility>

#include "llm/chat_impl.h"

namespace glmoe {

ChatParser::ChatParser(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatParser::ChatParser(ChatParser&&) noexcept = default;
ChatParser& ChatParser::operator=(ChatParser&&) noexcept = default;
ChatParser::~ChatParser() = default;

ChatDelta ChatParser::feed(const OutputDelta& delta) { return impl_->parser.feed(delta); }

int64_t ChatParser::num_reasoning_tokens() const { return impl_->parser.num_reasoning_tokens(); }

int64_t ChatParser::num_tool_calls() const { return impl_->parser.num_tool_calls(); }

}  // namespace glmoe
