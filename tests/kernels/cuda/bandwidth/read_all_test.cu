#include "kernels/cuda/bandwidth/read_all.h"

#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;
using cuda_test::expect_refused;

CUDA_TEST(ReadAllSumsEveryWordOnce) {
  std::mt19937 random(1);
  // One load, less and more than a grid's threads, and ends inside an unrolled round.
  for (const size_t words : {4u, 2048u, 4u * 512 * 16 * 3, 4000004u, 16777216u}) {
    std::vector<uint32_t> host(words);
    uint32_t wanted = 0;
    for (uint32_t& word : host) wanted ^= word = static_cast<uint32_t>(random());
    const DeviceArray<uint32_t> from(host);
    const DeviceArray<uint32_t> checksum(std::vector<uint32_t>{0});
    launch_read_all(from.data(), words * 4, checksum.data(), 3, nullptr);
    const uint32_t found = checksum.download()[0];
    expect(found == wanted, std::to_string(words) + " words: " + std::to_string(found) +
                                ", wanted " + std::to_string(wanted));
  }
}

CUDA_TEST(ReadAllRefusesWhatIsNotWholeLoads) {
  const DeviceArray<uint32_t> memory(8);
  expect_refused([&] { launch_read_all(memory.data(), 12, memory.data(), 1, nullptr); }, "12");
  expect_refused([&] { launch_read_all(memory.data() + 1, 16, memory.data(), 1, nullptr); }, "16");
}

}  // namespace
}  // namespace glmoe::cuda
