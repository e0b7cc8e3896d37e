#include "serve/http/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

#include "base/error.h"

namespace glmoe::serve {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// Chunk headers and their extensions cost bytes that are no body; six for one is what chunks of a
// byte cost.
constexpr size_t kWireBytesPerByte = 8;
constexpr size_t kFreeWireBytes = size_t{64} << 10;

const char* code_of(const error_code& code) {
  using http::error;
  if (code == error::bad_chunk || code == error::bad_chunk_extension) return "bad_chunk";
  if (code == error::bad_content_length || code == error::multiple_content_length) {
    return "bad_content_length";
  }
  if (code == error::bad_transfer_encoding) return "bad_transfer_encoding";
  return "bad_request";
}

[[noreturn]] void refuse(const error_code& error, const HttpLimits& limits) {
  if (error == http::error::body_limit) {
    throw RequestProblem{
        {.status = 413,
         .message = fmt::format("the body is too large: at most {} bytes are taken",
                                limits.max_body_bytes),
         .code = "body_too_large"}};
  }
  if (error == http::error::bad_version) {
    throw RequestProblem{{.status = 505,
                          .message = "HTTP/1.0 or HTTP/1.1 was wanted",
                          .code = "http_version_unsupported"}};
  }
  throw RequestProblem{{.status = 400,
                        .message = "the request is not HTTP: " + error.message(),
                        .code = code_of(error)}};
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct RequestParser::Impl {
  http::request_parser<http::string_body> parser;
};

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(limits), impl_(std::make_unique<Impl>()) {
  // find_head has already held the head to its limits.
  impl_->parser.header_limit(static_cast<uint32_t>(limits.max_header_bytes) + 16);
  impl_->parser.body_limit(limits.max_body_bytes);
}

RequestParser::~RequestParser() = default;

void RequestParser::parse_head(std::string_view head, HttpRequest& request) {
  error_code error;
  const size_t used = impl_->parser.put(asio::buffer(head.data(), head.size()), error);
  if (error) refuse(error, limits_);
  const auto& message = impl_->parser.get();
  request.method = std::string(view(message.method_string()));
  if (message.version() != 10 && message.version() != 11) refuse(http::error::bad_version, limits_);
  http_minor_ = message.version() == 10 ? 0 : 1;
  for (const auto& field : message) {
    request.headers.emplace_back(lower_case(view(field.name_string())),
                                 std::string(view(field.value())));
  }
  framing_ = check_framing(request.headers, http_minor_, limits_);
  if (used != head.size()) refuse(http::error::bad_line_ending, limits_);
  split_target(view(message.target()), request.path, request.query);
}

size_t RequestParser::parse_body(std::string_view data) {
  size_t used = 0;
  while (!impl_->parser.is_done() && used < data.size()) {
    error_code error;
    const size_t taken =
        impl_->parser.put(asio::buffer(data.data() + used, data.size() - used), error);
    used += taken;
    if (error && error != http::error::need_more) refuse(error, limits_);
    if (taken == 0) break;
  }
  wire_bytes_ += used;
  if (wire_bytes_ > kWireBytesPerByte * body_bytes() + kFreeWireBytes) {
    throw RequestProblem{{.status = 400,
                          .message = "the body's chunks hold far more headers than data",
                          .code = "bad_chunk"}};
  }
  return used;
}

bool RequestParser::body_done() const { return impl_->parser.is_done(); }
size_t RequestParser::body_bytes() const { return impl_->parser.get().body().size(); }
std::string RequestParser::take_body() { return std::move(impl_->parser.get().body()); }

}  // namespace glmoe::serve
