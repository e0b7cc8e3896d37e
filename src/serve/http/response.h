// The ResponseWriter of a connection: status line, headers, chunks, into its output queue.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "serve/http/handler.h"
#include "serve/http/output_queue.h"

namespace glmoe::serve {

// What the answer's form depends on beside its content.
struct ResponseForm {
  int http_minor = 1;
  bool head_only = false;  // HEAD
  bool keep_alive = true;
  ErrorStyle error_style = ErrorStyle::kOpenAi;
  Headers headers;              // on every answer: X-Request-Id, Server, CORS
  size_t max_unsent_bytes = 0;  // of an event stream
};

class Response final : public ResponseWriter {
 public:
  Response(OutputQueue& output, ResponseForm form);

  void send(int status, std::string_view content_type, std::string body,
            const Headers& extra) override;
  void send_error(const HttpError& error) override;
  void begin_events(const Headers& extra) override;
  void event(std::string_view data) override;
  void event(std::string_view name, std::string_view data) override;
  void comment(std::string_view text) override;
  void flush() override;
  void end_events() override;
  bool started() const override { return status_ != 0; }
  CancelReason cancelled() const override { return cancelled_; }
  void on_cancel(std::function<void()> callback) override;
  RequestNotes& notes() override { return notes_; }
  const RequestNotes& notes() const { return notes_; }

  // Tells the handler, once; later reasons are dropped.
  void cancel(CancelReason reason);
  // What a handler left undone: an event stream without its end.
  void finish();

  int status() const { return status_; }
  bool keep_alive() const { return form_.keep_alive; }
  const std::string& error_code() const { return error_code_; }

 private:
  std::string head(int status, std::string_view content_type, const Headers& extra) const;

  OutputQueue& output_;
  ResponseForm form_;
  RequestNotes notes_;
  std::function<void()> on_cancel_;
  CancelReason cancelled_ = CancelReason::kNone;
  int status_ = 0;
  std::string error_code_;
  bool streaming_ = false;
  std::string frame_;  // events since the last flush
};

}  // namespace glmoe::serve
