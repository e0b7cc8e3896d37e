// The address of a server, as --base_url says it.
#pragma once

#include <cstdint>
#include <string>

namespace glmoe::serve {

struct ServerUrl {
  bool tls = false;
  std::string host;  // without the brackets of an IPv6 address
  uint16_t port = 80;
  std::string path;  // before every target; empty, or "/prefix" without a slash at its end

  std::string text() const;         // "http://127.0.0.1:8000/prefix"
  std::string host_header() const;  // "127.0.0.1:8000"; without the scheme's own port
  // Path of an end point: `target` begins with '/'. Base addresses that end in /v1, as OpenAI's
  // clients take them, are not given a second one.
  std::string target(const std::string& target) const;
};

// "http://host[:port][/path]" or https. Throws kInvalidArgument naming `flag`.
ServerUrl parse_server_url(const std::string& text, const std::string& flag);

}  // namespace glmoe::serve
