// One streamed answer of a chat end point, blocking: for programs that talk in a terminal.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "serve/client/chunk.h"
#include "serve/client/http_client.h"

namespace glmoe::serve {

// Posts `body` (JSON, with "stream": true) to /v1/chat/completions and calls `on_chunk` for each
// chunk as it comes, in the calling thread. Once `stop` is true the answer is given up
// (kCancelled). Throws RequestFailed, also for an error inside the stream and for one that ends
// without its finish_reason or [DONE]; what came before was handed on.
void stream_chat(const HttpClientOptions& options, const std::string& body,
                 const std::function<void(const Chunk&)>& on_chunk, const std::atomic<bool>& stop);

}  // namespace glmoe::serve
