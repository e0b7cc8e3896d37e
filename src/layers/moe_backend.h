// The routed experts behind one interface. Router and shared expert stay outside
// (layers/moe_block).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "glmoe/config.h"
#include "ops/moe.h"
#include "ops/op_context.h"
#include "weights/glm4_moe_weights.h"

namespace glmoe {

enum class MoeBackendKind { kAuto, kCutlass, kTrtllm, kVanilla, kWideep };
std::string_view moe_backend_name(MoeBackendKind kind);
// "CUTLASS" and so on, upper or lower case. Throws kInvalidArgument with the list.
MoeBackendKind moe_backend_from_name(std::string_view name);

// Outcome of can_implement: no reasons means yes.
struct BackendVerdict {
  std::vector<std::string> reasons;
  bool ok() const { return reasons.empty(); }
  std::string to_string() const;  // reasons joined by "; "
  // Throws kUnsupported with every reason where there is one.
  void require(MoeBackendKind kind) const;
};

class MoeBackend {
 public:
  virtual ~MoeBackend() = default;
  virtual std::string_view name() const = 0;
  // What really runs, for describe(): "grouped SIMD products", ...
  virtual std::string_view implementation() const = 0;
  // out += sum_j weight_j * Expert_j(x); x, out: [T, H] F32.
  virtual void forward(const OpContext& ctx, const TensorView& x, const Routing& routing,
                       const MoeWeights& weights, const TensorView& out) const = 0;
};

// What speaks against `kind` on any device, with one rank; a pure function, as the next.
BackendVerdict can_implement_on_one_rank(MoeBackendKind kind, const Glm4MoeConfig& config);
// Whether `kind` runs a model like `config` on the CPU.
BackendVerdict can_implement_on_cpu(MoeBackendKind kind, const Glm4MoeConfig& config);

// AUTO and CUTLASS give the grouped products, VANILLA the plain loop. Throws kUnsupported with
// every reason for the others.
std::unique_ptr<MoeBackend> make_cpu_moe_backend(MoeBackendKind kind, const Glm4MoeConfig& config);

}  // namespace glmoe
