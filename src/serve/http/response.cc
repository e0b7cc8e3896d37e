#include "serve/http/response.h"

#include <boost/beast/http/status.hpp>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace glmoe::serve {
namespace {

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, length};
}

std::string_view reason_phrase(int status) {
  const auto text =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return {text.data(), text.size()};
}

void append_header(std::string& text, std::string_view name, std::string_view value) {
  text.append(name).append(": ");
  // A value may quote a client: no line break of its must become one of ours.
  for (const char c : value) text += (c == '\r' || c == '\n' || c == '\0') ? ' ' : c;
  text += "\r\n";
}

}  // namespace

Response::Response(OutputQueue& output, ResponseForm form)
    : output_(output), form_(std::move(form)) {}

std::string Response::head(int status, std::string_view content_type, const Headers& extra) const {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
  append_header(text, "Date", http_date());
  for (const auto& [name, value] : form_.headers) append_header(text, name, value);
  if (!content_type.empty()) append_header(text, "Content-Type", content_type);
  for (const auto& [name, value] : extra) append_header(text, name, value);
  append_header(text, "Connection", form_.keep_alive ? "keep-alive" : "close");
  return text;
}

void Response::send(int status, std::string_view content_type, std::string body,
                    const Headers& extra) {
  GLMOE_CHECK(!started(), "an answer was sent twice");
  status_ = status;
  std::string text = head(status, content_type, extra);
  // Of 204 and 304 it would speak of a body that does not come.
  const bool has_length = status != 204 && status != 304;
  if (has_length) append_header(text, "Content-Length", std::to_string(body.size()));
  text += "\r\n";
  output_.append(std::move(text));
  if (!form_.head_only && has_length) output_.append(std::move(body));
  output_.flush();
}

void Response::send_error(const HttpError& error) {
  error_code_ = error.code;
  Headers extra;
  if (error.retry_after_s > 0)
    extra.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  if (!error.extra_allow.empty()) extra.emplace_back("Allow", error.extra_allow);
  if (error.status == 401) extra.emplace_back("WWW-Authenticate", "Bearer");
  send(error.status, "application/json", error_body(error, form_.error_style), extra);
}

void Response::begin_events(const Headers& extra) {
  GLMOE_CHECK(!started(), "an answer was begun twice");
  status_ = 200;
  streaming_ = true;
  if (form_.http_minor == 0) form_.keep_alive = false;  // its end is the connection's
  std::string text = head(200, "text/event-stream; charset=utf-8", extra);
  append_header(text, "Cache-Control", "no-cache");
  append_header(text, "X-Accel-Buffering", "no");  // a proxy in front passes events on at once
  if (form_.http_minor == 1) append_header(text, "Transfer-Encoding", "chunked");
  text += "\r\n";
  output_.append(std::move(text));
  output_.flush();
}

void Response::event(std::string_view data) { frame_.append("data: ").append(data).append("\n\n"); }

void Response::event(std::string_view name, std::string_view data) {
  frame_.append("event: ").append(name).append("\n");
  event(data);
}

void Response::comment(std::string_view text) { frame_.append(": ").append(text).append("\n\n"); }

void Response::flush() {
  if (!streaming_ || frame_.empty()) return;
  // Before this frame is added: one large event alone cuts nobody off.
  if (output_.unsent() > form_.max_unsent_bytes) output_.fail();  // which cancels
  if (form_.http_minor == 1) {
    char size_line[20];
    const char* end = fmt::format_to(size_line, "{:x}\r\n", frame_.size());
    output_.append(std::string_view(size_line, static_cast<size_t>(end - size_line)));
    output_.append(std::string_view(frame_));
    output_.append(std::string_view("\r\n"));
  } else {
    output_.append(std::string_view(frame_));
  }
  frame_.clear();
  output_.flush();
}

void Response::end_events() {
  flush();
  if (!streaming_) return;
  streaming_ = false;
  if (form_.http_minor == 1) output_.append(std::string_view("0\r\n\r\n"));
  output_.flush();
}

void Response::finish() {
  if (streaming_) end_events();
}

void Response::on_cancel(std::function<void()> callback) {
  on_cancel_ = std::move(callback);
  if (cancelled_ != CancelReason::kNone && on_cancel_) std::exchange(on_cancel_, nullptr)();
}

void Response::cancel(CancelReason reason) {
  if (cancelled_ != CancelReason::kNone) return;
  cancelled_ = reason;
  if (on_cancel_) std::exchange(on_cancel_, nullptr)();
}

}  // namespace glmoe::serve
