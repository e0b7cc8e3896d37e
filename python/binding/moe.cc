// One MoE call on memory that Python's side has checked (python/glmoe/torch/_moe.py): addresses and
// shapes, no tensors, since a decode step makes one such call a layer.
#include "glmoe/moe.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <cstdint>
#include <memory>
#include <tuple>

#include "glmoe/error.h"
#include "python/binding/bind.h"
#include "python/binding/engine_handle.h"

namespace glmoe::python {
namespace {

namespace nb = nanobind;

const void* at(uintptr_t address) { return reinterpret_cast<const void*>(address); }

ElementKind kind_of(int code) {
  switch (code) {
    case 0: return ElementKind::kFloat32;
    case 1: return ElementKind::kBfloat16;
    case 2: return ElementKind::kFloat16;
    default: break;
  }
  throw Error(ErrorCode::kInvalidArgument, "fused_moe: kind of elements " + std::to_string(code));
}

// The threads of calls on the CPU. A process made by fork() has none of them and leaves them alone.
class MoeTeam {
 public:
  explicit MoeTeam(int64_t num_threads) : team_(std::make_unique<FusedMoe>(num_threads)) {}
  ~MoeTeam() {
    if (owner_.is_other_process()) (void)team_.release();
  }
  MoeTeam(const MoeTeam&) = delete;
  MoeTeam& operator=(const MoeTeam&) = delete;

  FusedMoe& get() const {
    owner_.check("this MoeTeam");
    return *team_;
  }

 private:
  Owner owner_;
  std::unique_ptr<FusedMoe> team_;
};

// A call, made once for its shapes and filled with addresses at each use.
class MoeCall {
 public:
  // shape: experts, hidden size, intermediate size, kind.
  MoeCall(std::tuple<int64_t, int64_t, int64_t, int> shape, int64_t top_k) {
    const auto& [experts, hidden, inner, kind] = shape;
    call_.experts = {.kind = kind_of(kind),
                     .num_experts = experts,
                     .hidden_size = hidden,
                     .intermediate_size = inner};
    call_.chosen.top_k = top_k;
  }
  void set_router(const MoeConfig& config, int kind) {
    router_.config = config;
    router_.kind = kind_of(kind);
    routed_ = true;
  }
  std::string why_not_gpu() const { return why_no_gpu_moe(call_.experts); }
  size_t workspace_bytes(int64_t num_tokens) {
    FusedMoeCall call = ready(num_tokens);
    return gpu_fused_moe_bytes(call);
  }
  void set_memory(uintptr_t x, uintptr_t out, uintptr_t gate_up, uintptr_t down) {
    call_.x = at(x);
    call_.out = const_cast<void*>(at(out));
    call_.experts.gate_up = at(gate_up);
    call_.experts.down = at(down);
  }
  void set_chosen(uintptr_t ids, bool ids_64_bit, uintptr_t weights, int kind) {
    call_.chosen.ids = at(ids);
    call_.chosen.ids_64_bit = ids_64_bit;
    call_.chosen.weights = at(weights);
    call_.chosen.weights_kind = kind_of(kind);
  }
  void set_router_memory(uintptr_t weight, uintptr_t bias) {
    router_.weight = at(weight);
    router_.selection_bias = static_cast<const float*>(at(bias));
  }
  void enqueue(int64_t num_tokens, int device, uintptr_t workspace, size_t workspace_bytes,
               uintptr_t stream) {
    FusedMoeCall call = ready(num_tokens);
    call.device = device;
    gpu_fused_moe(call, const_cast<void*>(at(workspace)), workspace_bytes,
                  const_cast<void*>(at(stream)));
  }
  void run(const MoeTeam& team, int64_t num_tokens) {
    const FusedMoeCall call = ready(num_tokens);
    FusedMoe& threads = team.get();
    nb::gil_scoped_release release;
    threads.run(call);
  }

 private:
  FusedMoeCall ready(int64_t num_tokens) const {
    FusedMoeCall call = call_;
    call.num_tokens = num_tokens;
    if (routed_) call.router = &router_;
    return call;
  }

  FusedMoeCall call_;
  RouterWeights router_;
  bool routed_ = false;
};

}  // namespace

void bind_moe(nb::module_& m) {
  nb::class_<MoeTeam>(m, "MoeTeam", "The threads of MoE calls on the CPU.")
      .def(nb::init<int64_t>(), nb::arg("num_threads") = 0);
  nb::class_<MoeCall>(m, "MoeCall", "One MoE call; glmoe.torch.fused_moe checks and fills it.")
      .def(nb::init<std::tuple<int64_t, int64_t, int64_t, int>, int64_t>(), nb::arg("shape"),
           nb::arg("top_k"))
      .def("set_router", &MoeCall::set_router, nb::arg("config"), nb::arg("kind"))
      .def("set_memory", &MoeCall::set_memory, nb::arg("x"), nb::arg("out"), nb::arg("gate_up"),
           nb::arg("down"))
      .def("set_chosen", &MoeCall::set_chosen, nb::arg("ids"), nb::arg("ids_64_bit"),
           nb::arg("weights"), nb::arg("kind"))
      .def("set_router_memory", &MoeCall::set_router_memory, nb::arg("weight"), nb::arg("bias"))
      .def("why_not_gpu", &MoeCall::why_not_gpu)
      .def("workspace_bytes", &MoeCall::workspace_bytes, nb::arg("num_tokens"))
      .def("enqueue", &MoeCall::enqueue, nb::arg("num_tokens"), nb::arg("device"),
           nb::arg("workspace"), nb::arg("workspace_bytes"), nb::arg("stream"))
      .def("run", &MoeCall::run, nb::arg("team"), nb::arg("num_tokens"));
}

}  // namespace glmoe::python
