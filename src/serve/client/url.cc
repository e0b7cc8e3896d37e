#include "serve/client/url.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/error.h"

namespace glmoe::serve {
namespace {

constexpr std::string_view kVersion = "/v1";

[[noreturn]] void refuse(const std::string& flag, const std::string& text, const char* problem) {
  fail_argument("{} '{}': {}; an address such as http://127.0.0.1:8000 was wanted", flag, text,
                problem);
}

bool is_plain(char c) { return c > 0x20 && c < 0x7f; }

}  // namespace

ServerUrl parse_server_url(const std::string& text, const std::string& flag) {
  ServerUrl url;
  std::string_view rest = text;
  if (!std::all_of(rest.begin(), rest.end(), is_plain)) {
    refuse(flag, text, "it holds spaces or characters outside ASCII");
  }
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
    url.tls = true;
    url.port = 443;
  } else {
    refuse(flag, text, "it begins neither with http:// nor with https://");
  }
  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  std::string_view path = rest.substr(authority.size());
  if (path.find_first_of("?#") != std::string_view::npos) {
    refuse(flag, text, "a query or a fragment has no place in it");
  }
  if (authority.find('@') != std::string_view::npos) {
    refuse(flag, text, "a user name has no place in it (a key goes to --api_key)");
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) refuse(flag, text, "the ']' of an IPv6 address is missing");
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const size_t end = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, end);
    port = authority.substr(end);
  }
  if (url.host.empty()) refuse(flag, text, "the host is missing");
  if (!port.empty()) {
    const std::string_view digits = port.substr(1);
    const auto [end, status] =
        std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (port[0] != ':' || status != std::errc() || end != digits.data() + digits.size() ||
        url.port == 0) {
      refuse(flag, text, "the port is no number from 1 to 65535");
    }
  }
  while (path.ends_with('/')) path.remove_suffix(1);
  url.path = path;
  return url;
}

std::string ServerUrl::host_header() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  const std::string name = is_ipv6 ? fmt::format("[{}]", host) : host;
  return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

std::string ServerUrl::text() const {
  return (tls ? "https://" : "http://") + host_header() + path;
}

std::string ServerUrl::target(const std::string& target) const {
  std::string_view prefix = path;
  if (prefix.ends_with(kVersion)) prefix.remove_suffix(kVersion.size());
  return std::string(prefix) + target;
}

}  // namespace glmoe::serve
