// Runs the tests on a GPU. Exit status: 0 all passed, 1 one failed, 77 left out (no GPU that the
// kernels run on; the reason is printed, and ctest shows the test as skipped).
#include <cstdio>
#include <exception>

#include "device/gpu_info.h"
#include "glmoe/error.h"
#include "harness.h"

namespace glmoe::cuda_test {
namespace {

constexpr int kSkipped = 77;
constexpr int kShownFailures = 5;
int num_failures = 0;  // of the running test

bool run(const Test& test) {
  num_failures = 0;
  try {
    test.body();
  } catch (const std::exception& error) {
    expect(false, std::string("threw: ") + error.what());
  }
  std::printf("%s %s\n", num_failures == 0 ? "ok    " : "FAILED", test.name.c_str());
  return num_failures == 0;
}

// "" where the first GPU can run the kernels.
std::string why_not() {
  const GpuQuery query = query_gpus();
  if (query.gpus.empty()) return query.reason;
  const GpuInfo& gpu = query.gpus[0];
  std::printf(
      "GPU 0: %s, compute capability %d.%d, %d SMs, %.1f of %.1f GiB free, driver for CUDA %s, "
      "runtime %s\n",
      gpu.name.c_str(), gpu.compute_major, gpu.compute_minor, gpu.sm_count,
      static_cast<double>(gpu.free_bytes) / (1 << 30),
      static_cast<double>(gpu.memory_bytes) / (1 << 30), gpu.driver_version.c_str(),
      gpu.runtime_version.c_str());
  if (gpu.compute_major == 9 && gpu.compute_minor == 0) return "";
  return "the kernels are built for compute capability 9.0 (Hopper), GPU 0 has " +
         std::to_string(gpu.compute_major) + "." + std::to_string(gpu.compute_minor);
}

}  // namespace

std::vector<Test>& all_tests() {
  static std::vector<Test> tests;
  return tests;
}

void expect(bool condition, const std::string& what) {
  if (condition) return;
  if (++num_failures <= kShownFailures) std::printf("  %s\n", what.c_str());
}

void expect_refused(const std::function<void()>& body, const std::string& part) {
  try {
    body();
  } catch (const Error& error) {
    expect(std::string(error.what()).find(part) != std::string::npos,
           std::string("refused, but without \"") + part + "\": " + error.what());
    return;
  }
  expect(false, "not refused: wanted an error with \"" + part + "\"");
}

int run_all() {
  const std::string reason = why_not();
  if (!reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return kSkipped;
  }
  int failed = 0;
  for (const Test& test : all_tests()) failed += run(test) ? 0 : 1;
  std::printf("%zu tests, %d failed\n", all_tests().size(), failed);
  return failed == 0 && !all_tests().empty() ? 0 : 1;
}

}  // namespace glmoe::cuda_test

int main() { return glmoe::cuda_test::run_all(); }
