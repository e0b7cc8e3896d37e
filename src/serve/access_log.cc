#include "serve/access_log.h"

#include <fmt/format.h>

#include <cmath>

#include "base/json.h"

namespace glmoe::serve {
namespace {

const char* cancel_word(CancelReason reason) {
  switch (reason) {
    case CancelReason::kNone: return "";
    case CancelReason::kClientGone: return "client_gone";
    case CancelReason::kShutdown: return "shutdown";
    case CancelReason::kAdminRequest: return "admin_request";
  }
  return "";
}

}  // namespace

std::string printable(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      safe += fmt::format("\\x{:02x}", byte);
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string access_line(const RequestRecord& record) {
  std::string line = fmt::format("{} {} {} {:.1f} ms", printable(record.method),
                                 printable(record.path), record.status, record.ms);
  const RequestNotes& notes = record.notes;
  if (notes.prompt_tokens >= 0) line += fmt::format(" prompt={}", notes.prompt_tokens);
  if (notes.cached_tokens > 0) line += fmt::format(" cached={}", notes.cached_tokens);
  if (notes.completion_tokens >= 0) line += fmt::format(" completion={}", notes.completion_tokens);
  if (!notes.finish_reason.empty()) line += " finish=" + notes.finish_reason;
  if (!record.error_code.empty()) line += " error=" + record.error_code;
  if (record.cancelled != CancelReason::kNone) {
    line += fmt::format(" cancelled={}", cancel_word(record.cancelled));
  }
  line += fmt::format(" id={} peer={}", record.request_id, record.peer);
  if (!record.key_id.empty()) line += " key=" + record.key_id;
  return line;
}

std::string access_json(const RequestRecord& record) {
  const RequestNotes& notes = record.notes;
  OrderedJson json = {{"event", "request"},
                      {"request_id", record.request_id},
                      {"peer", record.peer},
                      {"method", record.method},
                      {"route", record.route},
                      {"path", record.path},
                      {"status", record.status},
                      {"ms", std::round(record.ms * 1000.0) / 1000.0},
                      {"body_bytes", record.body_bytes}};
  if (!record.key_id.empty()) json["key"] = record.key_id;
  if (!notes.model_request_ids.empty()) json["engine_ids"] = notes.model_request_ids;
  if (notes.prompt_tokens >= 0) json["prompt_tokens"] = notes.prompt_tokens;
  if (notes.cached_tokens >= 0) json["cached_tokens"] = notes.cached_tokens;
  if (notes.completion_tokens >= 0) json["completion_tokens"] = notes.completion_tokens;
  if (!notes.finish_reason.empty()) json["finish_reason"] = notes.finish_reason;
  if (!record.error_code.empty()) json["error"] = record.error_code;
  if (record.cancelled != CancelReason::kNone) json["cancelled"] = cancel_word(record.cancelled);
  return json.dump(-1, ' ', true, OrderedJson::error_handler_t::replace);
}

}  // namespace glmoe::serve
