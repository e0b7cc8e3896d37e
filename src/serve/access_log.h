// One line a request, for people or (with --log_json) for machines. Never what a prompt says.
#pragma once

#include <string>
#include <string_view>

#include "serve/http/http_service.h"

namespace glmoe::serve {

// "POST /v1/chat/completions 200 812.4 ms 12+64 tokens stop id=req-... peer=127.0.0.1"
std::string access_line(const RequestRecord& record);
// {"event":"request","request_id":...}
std::string access_json(const RequestRecord& record);

// `text` with all but printable ASCII written as \x1b: what a client sent stays one line of the
// log, without commands for a terminal.
std::string printable(std::string_view text);

}  // namespace glmoe::serve
