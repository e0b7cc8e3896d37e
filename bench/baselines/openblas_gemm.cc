#include <cblas.h>

#include "baselines/gemm.h"

namespace glmoe::bench {
namespace {

class OpenblasGemm final : public GemmBaseline {
 public:
  OpenblasGemm(int64_t size, int num_threads)
      : size_(static_cast<blasint>(size)),
        a_(random_floats(size * size, 1)),
        b_(random_floats(size * size, 2)),
        c_(a_.size()) {
    openblas_set_num_threads(num_threads);
  }

  std::string name() const override {
    const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE ..."
    const std::string version = config.substr(0, config.find(' ', config.find(' ') + 1));
    return version + " (kernels for " + openblas_get_corename() + ")";
  }
  std::string type() const override { return "float32"; }

  void run() override {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, size_, size_, size_, 1.0f, a_.data(),
                size_, b_.data(), size_, 0.0f, c_.data(), size_);
  }

 private:
  blasint size_;
  std::vector<float> a_, b_, c_;
};

}  // namespace

std::unique_ptr<GemmBaseline> make_openblas(int64_t size, int num_threads) {
  return std::make_unique<OpenblasGemm>(size, num_threads);
}

}  // namespace glmoe::bench
