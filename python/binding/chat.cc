// Answers of chats taken apart: reasoning, content and tool calls.
#include "glmoe/chat.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "glmoe/output.h"
#include "python/binding/bind.h"

namespace nb = nanobind;

namespace glmoe::python {
namespace {

// A whole answer as one delta.
ChatDelta feed_answer(ChatParser& self, const CompletionOutput& answer, bool skip_special_tokens) {
  return self.feed({.index = answer.index,
                    .text = answer.text,
                    .token_ids = answer.token_ids,
                    .skip_special_tokens = skip_special_tokens,
                    .finish_reason = answer.finish_reason,
                    .stop_reason = answer.stop_reason});
}

}  // namespace

void bind_chat(nb::module_& m) {
  nb::class_<ToolCallDelta>(m, "ToolCallDelta", "A tool call's next piece.")
      .def_ro("index", &ToolCallDelta::index, "0, 1, ... in the order of the calls.")
      .def_ro("name", &ToolCallDelta::name, "Whole, on the first piece.")
      .def_ro("arguments", &ToolCallDelta::arguments, "JSON text, to be joined.");
  nb::class_<ChatDelta>(m, "ChatDelta", "New parts of a chat's answer. str() is the content.")
      .def_ro("reasoning", &ChatDelta::reasoning)
      .def_ro("content", &ChatDelta::content)
      .def_ro("tool_calls", &ChatDelta::tool_calls)
      .def("__bool__", [](const ChatDelta& self) { return !self.empty(); })
      .def("__str__", [](const ChatDelta& self) { return self.content; });
  nb::class_<ChatParser>(m, "ChatParser", "Reads one answer's deltas as they come.")
      .def("feed", &ChatParser::feed, nb::arg("delta"))
      .def("feed_answer", &feed_answer, nb::arg("answer"), nb::arg("skip_special_tokens"))
      .def_prop_ro("num_reasoning_tokens", &ChatParser::num_reasoning_tokens)
      .def_prop_ro("num_tool_calls", &ChatParser::num_tool_calls);
}

}  // namespace glmoe::python
