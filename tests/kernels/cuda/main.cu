// Runs the tests on a GPU: kernels_cuda_test [--quick[=NUMBERS]] [--without=PART] [PART...], those
// whose names, or whose file's name, have a PART. --quick leaves cases of more numbers out
// (harness.h). Exit status: 0 all passed, 1 one failed, 2 wrong usage, 77 left out (no GPU that the
// kernels run on; the reason is printed, and ctest shows the test as skipped).
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <limits>
#include <string_view>
#include <system_error>

#include "device/gpu_info.h"
#include "glmoe/error.h"
#include "harness.h"

namespace glmoe::cuda_test {
namespace {

constexpr int kSkipped = 77;
constexpr int kWrongUsage = 2;
constexpr int kShownFailures = 5;
int num_failures = 0;  // of the running test
int num_left_out = 0;
double most_numbers = std::numeric_limits<double>::infinity();  // of a case that is run

bool run(const Test& test) {
  num_failures = 0;
  const auto start = std::chrono::steady_clock::now();
  try {
    test.body();
  } catch (const std::exception& error) {
    expect(false, std::string("threw: ") + error.what());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%s %s (%.1f s)\n", num_failures == 0 ? "ok    " : "FAILED", test.name.c_str(),
              took.count());
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

bool leaves_out(double numbers) {
  const bool left_out = numbers > most_numbers;
  num_left_out += left_out;
  return left_out;
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

bool has_any(const Test& test, const std::vector<std::string_view>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return test.name.find(part) != std::string::npos || test.file.find(part) != std::string::npos;
  });
}

int wrong_usage() {
  std::printf(
      "kernels_cuda_test [--quick[=NUMBERS]] [--without=PART] [PART...]: tests whose names, or "
      "whose file's name, have a PART\n");
  return kWrongUsage;
}

int run_tests(const std::vector<std::string_view>& arguments) {
  constexpr std::string_view kQuick = "--quick=", kWithout = "--without=";
  std::vector<std::string_view> parts, left_out;
  for (const std::string_view argument : arguments) {
    if (argument == "--quick") {
      most_numbers = 1.5e6;
    } else if (argument.starts_with(kQuick)) {
      const char* end = argument.data() + argument.size();
      const auto read = std::from_chars(argument.data() + kQuick.size(), end, most_numbers);
      if (read.ec != std::errc() || read.ptr != end) return wrong_usage();
    } else if (argument.starts_with(kWithout)) {
      left_out.push_back(argument.substr(kWithout.size()));
    } else if (argument.starts_with("-")) {
      return wrong_usage();
    } else {
      parts.push_back(argument);
    }
  }
  const std::string reason = why_not();
  if (!reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return kSkipped;
  }
  int failed = 0, ran = 0;
  for (const Test& test : all_tests()) {
    if (has_any(test, left_out) || (!parts.empty() && !has_any(test, parts))) continue;
    ++ran;
    failed += run(test) ? 0 : 1;
  }
  std::printf("%d tests, %d failed", ran, failed);
  if (num_left_out > 0) std::printf(", %d large cases left out", num_left_out);
  std::printf("\n");
  return failed == 0 && ran > 0 ? 0 : 1;
}

}  // namespace glmoe::cuda_test

int main(int count, char** arguments) {
  // Who ends the program at a limit still sees which test it was at. Before anything is printed.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  return glmoe::cuda_test::run_tests({arguments + 1, arguments + count});
}
