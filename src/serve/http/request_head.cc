#include "serve/http/request_head.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <random>

#include "base/error.h"

namespace glmoe::serve {
namespace {

[[noreturn]] void refuse(int status, const char* code, std::string message) {
  throw RequestProblem{{.status = status, .message = std::move(message), .code = code}};
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

// Whether a comma-separated list holds the word.
bool list_holds(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (same_word(item, word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// One line of the head, without its end. `number` 0 is the request line.
void check_line(std::string_view line, size_t number, const HttpLimits& limits) {
  if (line.size() > limits.max_header_line_bytes) {
    if (number == 0) {
      refuse(414, "request_line_too_long",
             fmt::format("the request line has more than {} bytes", limits.max_header_line_bytes));
    }
    refuse(431, "header_line_too_long",
           fmt::format("header {} has more than {} bytes", number, limits.max_header_line_bytes));
  }
  if (number > limits.max_headers) {
    refuse(431, "too_many_headers",
           fmt::format("the request has more than {} headers", limits.max_headers));
  }
  if (line.find('\0') != std::string_view::npos || line.find('\r') != std::string_view::npos) {
    refuse(400, "bad_request", "the request's head holds a NUL or a bare carriage return");
  }
  if (number > 0 && !line.empty() && (line.front() == ' ' || line.front() == '\t')) {
    refuse(400, "bad_request", fmt::format("header {} is folded over two lines", number));
  }
}

size_t parse_content_length(const std::string& text, const HttpLimits& limits) {
  uint64_t length = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), length);
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                                   [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || (status != std::errc() && status != std::errc::result_out_of_range)) {
    refuse(400, "bad_content_length", "Content-Length: a number of bytes was wanted");
  }
  if (status == std::errc::result_out_of_range || length > limits.max_body_bytes) {
    refuse(413, "body_too_large",
           fmt::format("the body has {} bytes: at most {} are taken", text, limits.max_body_bytes));
  }
  return length;
}

void check_encoding(const std::string& value) {
  if (same_word(value, "identity")) return;
  refuse(415, "content_encoding_unsupported",
         fmt::format("Content-Encoding '{}' is not taken: send the body as it is", value));
}

}  // namespace

std::optional<size_t> find_head(std::string_view text, const HttpLimits& limits) {
  size_t begin = 0;
  for (size_t number = 0;; ++number) {
    if (begin > limits.max_header_bytes) break;
    const size_t newline = text.find('\n', begin);
    const bool complete = newline != std::string_view::npos;
    std::string_view line = text.substr(begin, (complete ? newline : text.size()) - begin);
    if (complete) {
      if (line.empty() || line.back() != '\r') {
        refuse(400, "bad_request", "a line of the request's head ends without a carriage return");
      }
      line.remove_suffix(1);
    } else if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);  // its line feed is to come
    }
    if (complete && line.empty() && number > 0) {
      if (newline + 1 > limits.max_header_bytes) break;
      return newline + 1;
    }
    check_line(line, number, limits);
    if (!complete) {
      if (text.size() > limits.max_header_bytes) break;
      return std::nullopt;
    }
    begin = newline + 1;
  }
  refuse(431, "headers_too_large",
         fmt::format("the request's head has more than {} bytes", limits.max_header_bytes));
}

Framing check_framing(const Headers& headers, int http_minor, const HttpLimits& limits) {
  Framing framing;
  framing.keep_alive = http_minor == 1;
  int lengths = 0, encodings = 0, hosts = 0;
  for (const auto& [name, value] : headers) {
    if (name == "content-length") {
      if (++lengths > 1) refuse(400, "bad_content_length", "Content-Length is given twice");
      framing.content_length = parse_content_length(value, limits);
    } else if (name == "transfer-encoding") {
      ++encodings;
      if (encodings > 1 || !same_word(value, "chunked") || http_minor == 0) {
        refuse(400, "bad_transfer_encoding",
               "Transfer-Encoding: 'chunked' is taken, once, with HTTP/1.1");
      }
      framing.chunked = true;
    } else if (name == "content-encoding") {
      check_encoding(value);
    } else if (name == "host") {
      ++hosts;
    } else if (name == "expect") {
      if (!same_word(value, "100-continue")) {
        refuse(417, "expectation_failed", "Expect: only 100-continue is known");
      }
      framing.expects_continue = http_minor == 1;
    } else if (name == "connection") {
      if (list_holds(value, "close")) framing.keep_alive = false;
      if (http_minor == 0 && list_holds(value, "keep-alive")) framing.keep_alive = true;
    }
  }
  if (lengths > 0 && encodings > 0) {
    refuse(400, "bad_framing", "Content-Length and Transfer-Encoding exclude each other");
  }
  if (hosts > 1 || (hosts == 0 && http_minor == 1)) {
    refuse(400, "bad_host", fmt::format("one Host header was wanted, found {}", hosts));
  }
  return framing;
}

void split_target(std::string_view target, std::string& path, std::string& query) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  const size_t mark = std::min(target.find('?'), target.size());
  path = target.substr(0, mark);
  query = target.substr(std::min(mark + 1, target.size()));
  if (path != "*" && !path.starts_with("/")) {
    refuse(400, "bad_target", "the request's target is not a path");
  }
}

std::string request_id_from(std::string_view client_id) {
  const bool plain = std::all_of(client_id.begin(), client_id.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  });
  if (plain && !client_id.empty() && client_id.size() <= 128) return std::string(client_id);
  static thread_local std::mt19937_64 generator((uint64_t{std::random_device{}()} << 32) ^
                                                std::random_device{}());
  return fmt::format("req-{:016x}{:08x}", generator(), generator() & 0xffffffffu);
}

}  // namespace glmoe::serve
