// Streams of deltas: read one by one, gathered to outputs, or announced to an asyncio loop.
#include "python/binding/stream.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "glmoe/error.h"
#include "python/binding/bind.h"
#include "python/binding/output.h"
#include "python/binding/wait.h"

namespace glmoe::python {

Waker::Waker() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) {
    throw Error(ErrorCode::kIo,
                std::string("no descriptor for an event loop: ") + std::strerror(errno));
  }
}

Waker::~Waker() { ::close(fd_); }

void Waker::wake(uint64_t key) {
  {
    std::lock_guard lock(mutex_);
    ready_.push_back(key);
    if (ready_.size() > 1) return;  // the descriptor is readable already
  }
  const uint64_t one = 1;
  // It can only fail where 2^64 - 2 calls were not taken.
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

std::vector<uint64_t> Waker::take() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_, &count, sizeof count);
  std::vector<uint64_t> keys;
  std::lock_guard lock(mutex_);
  keys.swap(ready_);
  return keys;
}

StreamHandle::~StreamHandle() {
  if (!stream_) return;
  if (owner_.is_other_process()) new ResponseStream(std::move(*stream_));  // left alone
}

ResponseStream& StreamHandle::get() {
  owner_.check("this stream");
  return *stream_;
}

bool StreamHandle::try_next(OutputDelta& delta) {
  if (!get().try_next(delta)) return false;
  append_delta(gathered_, delta);
  return true;
}

bool StreamHandle::collect() {
  OutputDelta delta;
  while (get().try_next(delta)) append_delta(gathered_, std::move(delta));
  return get().done();
}

RequestOutput StreamHandle::result() {
  RequestOutput output = get().result();  // all but the answers, which have been taken
  output.outputs = gathered_.outputs;
  return output;
}

namespace {

using Handles = std::vector<StreamHandle*>;

std::optional<OutputDelta> next(StreamHandle& self) {
  OutputDelta delta;
  while (!self.try_next(delta)) {
    ResponseStream& stream = self.get();
    if (stream.done()) return std::nullopt;
    wait_in_slices([&stream](double ms) { return stream.wait(ms); });
  }
  return delta;
}

std::optional<OutputDelta> try_next(StreamHandle& self) {
  OutputDelta delta;
  if (!self.try_next(delta)) return std::nullopt;
  return delta;
}

// False: not within `timeout_s`.
bool wait_finished(StreamHandle& self, std::optional<double> timeout_s) {
  const auto start = std::chrono::steady_clock::now();
  bool finished = false;
  wait_in_slices([&](double ms) {
    if (timeout_s) {
      const std::chrono::duration<double, std::milli> gone =
          std::chrono::steady_clock::now() - start;
      ms = std::min(ms, std::max(0.0, *timeout_s * 1000.0 - gone.count()));
    }
    finished = self.get().wait_finished(ms);
    return finished || ms < kSliceMs;
  });
  return finished;
}

// Moves the outputs of those that have finished, in their order, until one has not in `ms`.
void gather_some(const Handles& streams, double ms, std::vector<RequestOutput>& outputs) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double, std::milli>(ms);
  while (outputs.size() < streams.size()) {
    const std::chrono::duration<double, std::milli> left = end - Clock::now();
    ResponseStream& stream = streams[outputs.size()]->get();
    if (left.count() <= 0 || !stream.wait_finished(left.count())) return;
    outputs.push_back(stream.result());
  }
}

// `progress` gets the number of outputs and of their tokens. What it or a signal raises cancels
// all.
std::vector<RequestOutput> gather(const Handles& streams, const nb::object& progress) {
  std::vector<RequestOutput> outputs;
  outputs.reserve(streams.size());
  try {
    while (outputs.size() < streams.size()) {
      const size_t before = outputs.size();
      {
        nb::gil_scoped_release release;
        gather_some(streams, kSliceMs, outputs);
      }
      check_signals();
      if (progress.is_none() || outputs.size() == before) continue;
      size_t tokens = 0;
      for (size_t i = before; i < outputs.size(); ++i) {
        for (const CompletionOutput& answer : outputs[i].outputs) tokens += answer.token_ids.size();
      }
      progress(outputs.size() - before, tokens);
    }
  } catch (...) {
    for (StreamHandle* stream : streams) stream->get().cancel();
    throw;
  }
  return outputs;
}

void bind_delta(nb::module_& m) {
  using D = OutputDelta;
  nb::class_<D> output_delta(m, "OutputDelta", "New text and tokens of one answer.");
  bind_state(output_delta);
  output_delta.def_ro("index", &D::index)
      .def_ro("text", &D::text)
      .def_ro("token_ids", &D::token_ids)
      .def_prop_ro(
          "logprobs", [](const D& self) { return logprobs(self.logprobs); },
          nb::sig("def logprobs(self) -> list[dict[int, Logprob]] | None"))
      .def_prop_ro(
          "finish_reason", [](const D& self) { return finish_reason(self.finish_reason); },
          nb::sig("def finish_reason(self) -> str | None"))
      .def_prop_ro(
          "stop_reason", [](const D& self) { return stop_reason(self.stop_reason); },
          nb::sig("def stop_reason(self) -> str | None"))
      .def_prop_ro(
          "error", [](const D& self) { return stop_reason(self.error); },
          nb::sig("def error(self) -> str | None"))
      .def_ro("request_finished", &D::request_finished);
}

}  // namespace

void bind_stream(nb::module_& m) {
  bind_delta(m);
  nb::class_<Waker>(m, "Waker", "A descriptor that an event loop watches for many streams.")
      .def(nb::init<>())
      .def("fileno", &Waker::fileno)
      .def("take", &Waker::take, "The keys of the streams that have something to read.");
  using S = StreamHandle;
  nb::class_<S>(m, "Stream", "One request under way; dropping it cancels the request.")
      .def_prop_ro("request_id", [](S& self) { return self.get().request_id(); })
      .def_prop_ro("prompt_token_ids", [](S& self) { return self.get().prompt_token_ids(); })
      .def("next", &next, "Waits for the next delta; None after the last one.")
      .def("try_next", &try_next, "The next delta if there is one now, else None.")
      .def("done", [](S& self) { return self.get().done(); })
      .def("cancel", [](S& self) { self.get().cancel(); })
      .def("metrics", [](S& self) { return self.get().metrics(); })
      .def("collect", &S::collect, "Takes what has come; true once nothing more will.")
      .def("wait_finished", &wait_finished, nb::arg("timeout_s").none(),
           "False where it has not ended in that time.")
      .def("result", &S::result, "The whole output, once collect() was true.")
      .def(
          "notify",
          [](S& self, std::shared_ptr<Waker> waker, uint64_t key) {
            self.get().notify([waker = std::move(waker), key] { waker->wake(key); });
          },
          nb::arg("waker"), nb::arg("key"));
  m.def("gather", &gather, nb::arg("streams"), nb::arg("progress").none(),
        nb::sig("def gather(streams: list[Stream], progress: "
                "collections.abc.Callable[[int, int], object] | None) -> list[RequestOutput]"),
        "Waits for all of them. `progress` gets the new outputs and their tokens.");
}

}  // namespace glmoe::python
