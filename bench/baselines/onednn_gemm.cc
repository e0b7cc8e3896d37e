// oneDNN 2's interface, as Debian 12 has it. Without GLMOE_WITH_ONEDNN only the answer "no".
#include "baselines/gemm.h"

#ifdef GLMOE_WITH_ONEDNN
#include <omp.h>

#include <dnnl.hpp>

#include "device/cpu_info.h"
#include "tensor/dtype.h"
#endif

namespace glmoe::bench {

#ifdef GLMOE_WITH_ONEDNN
namespace {

using dnnl::memory;

class OnednnGemm final : public GemmBaseline {
 public:
  OnednnGemm(int64_t size, int num_threads)
      : num_threads_(num_threads),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_),
        a_(matrix(size, 1)),
        b_(matrix(size, 2)),
        c_({{size, size}, memory::data_type::f32, memory::format_tag::ab}, engine_) {
    omp_set_num_threads(num_threads_);
    const dnnl::matmul::desc what(a_.get_desc(), b_.get_desc(), c_.get_desc());
    const dnnl::matmul::primitive_desc how(what, engine_);
    kernel_ = how.impl_info_str();
    product_ = dnnl::matmul(how);
  }

  std::string name() const override {
    const dnnl_version_t* version = dnnl::version();
    return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
           std::to_string(version->patch) + " (kernel " + kernel_ + ")";
  }
  std::string type() const override { return "bfloat16"; }

  void run() override {
    omp_set_num_threads(num_threads_);
    product_.execute(stream_, {{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DST, c_}});
    stream_.wait();
  }

 private:
  memory matrix(int64_t size, uint64_t stream) {
    memory result({{size, size}, memory::data_type::bf16, memory::format_tag::ab}, engine_);
    const std::vector<float> numbers = random_floats(size * size, stream);
    convert_elements(numbers.data(), DType::kF32, result.get_data_handle(), DType::kBF16,
                     numbers.size());
    return result;
  }

  int num_threads_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  memory a_, b_, c_;
  std::string kernel_;
  dnnl::matmul product_;
};

}  // namespace

std::unique_ptr<GemmBaseline> make_onednn(int64_t size, int num_threads) {
  const CpuInfo cpu = cpu_info();
  if (!cpu.has("avx512bf16") && !cpu.has("amxbf16")) return nullptr;
  return std::make_unique<OnednnGemm>(size, num_threads);
}
#else
std::unique_ptr<GemmBaseline> make_onednn(int64_t /*size*/, int /*num_threads*/) { return nullptr; }
#endif

}  // namespace glmoe::bench
