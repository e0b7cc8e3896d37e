// One large matrix product C = A B through other libraries, to set the engine's rates against.
// Row-major square matrices; each call packs its operands itself, as any single GEMM does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace glmoe::bench {

class GemmBaseline {
 public:
  virtual ~GemmBaseline() = default;
  virtual std::string name() const = 0;  // library, version, kernels
  virtual std::string type() const = 0;  // of the operands; the result is float32
  // Runs once on the threads given at construction, and returns when all is done.
  virtual void run() = 0;
};

// Float32 through OpenBLAS, on `num_threads` threads.
std::unique_ptr<GemmBaseline> make_openblas(int64_t size, int num_threads);

// Bfloat16 through oneDNN. Null where this program was built without it, or the processor has no
// bfloat16 instructions: a conversion to float32 would be measured then.
std::unique_ptr<GemmBaseline> make_onednn(int64_t size, int num_threads);

// `count` numbers in [-0.5, 0.5).
std::vector<float> random_floats(int64_t count, uint64_t stream);

}  // namespace glmoe::bench
