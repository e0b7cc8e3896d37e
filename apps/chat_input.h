// Messages from standard input: lines, blocks of lines, and commands.
#pragma once

#include <string>

namespace glmoe::apps {

// Reads one message: a line; lines that end in a backslash and the next one; or everything between
// two lines of """. False at the end of the input. On a terminal, `prompt` is shown first, and
// ctrl-C throws away what was typed (the message is empty then).
bool read_message(const char* prompt, std::string& message);

// What is not UTF-8 becomes U+FFFD.
std::string valid_utf8(const std::string& text);

}  // namespace glmoe::apps
