#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "harness.h"
#include "kernels/cuda/common/device_array.h"
#include "kernels/cuda/sample/ordered_sum.cuh"

namespace glmoe::cuda {
namespace {

using cuda_test::expect;

struct Found {
  double sum;
  double rest;
  int place;
};

__global__ void ordered_kernel(const double* values, int size, double rest, double* running,
                               Found* found) {
  Found own;
  own.sum = sum_in_order(values, size, running);
  own.rest = rest;
  own.place = place_in_order(values, size, own.rest);
  found[threadIdx.x] = own;
}

// One by one.
Found plain(const std::vector<double>& values, double rest, std::vector<double>& running) {
  Found found{0.0, rest, -1};
  for (const double value : values) running.push_back(found.sum += value);
  const auto size = static_cast<int>(values.size());
  for (int i = 0; i < size; ++i) {
    if (found.rest < values[static_cast<size_t>(i)]) {
      found.place = i;
      return found;
    }
    found.rest -= values[static_cast<size_t>(i)];
  }
  found.place = size - 1;
  while (found.place > 0 && values[static_cast<size_t>(found.place)] <= 0.0) --found.place;
  return found;
}

void check(const std::string& name, const std::vector<double>& values, double share) {
  double total = 0.0;
  for (const double value : values) total += value;
  const double rest = share * total;
  std::vector<double> running;
  const Found wanted = plain(values, rest, running);
  const DeviceArray<double> values_dev(values), running_dev(values.size());
  const DeviceArray<Found> found_dev(32);
  GLMOE_CUDA(cudaMemset(running_dev.data(), 0xff, running_dev.num_bytes()));
  ordered_kernel<<<1, 32>>>(values_dev.data(), static_cast<int>(values.size()), rest,
                            running_dev.data(), found_dev.data());
  GLMOE_CUDA(cudaGetLastError());
  for (const Found& found : found_dev.download()) {
    expect(found.sum == wanted.sum && found.place == wanted.place && found.rest == wanted.rest,
           name + ": sum " + std::to_string(found.sum) + " place " + std::to_string(found.place) +
               " rest " + std::to_string(found.rest) + ", wanted " + std::to_string(wanted.sum) +
               " place " + std::to_string(wanted.place) + " rest " + std::to_string(wanted.rest));
  }
  expect(running_dev.download() == running, name + ": a running sum differs");
}

// Values whose sums round often (many bits), seldom, at ties, or across many powers of two.
std::vector<double> make_values(int kind, size_t size, std::mt19937& random) {
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  std::vector<double> values(size);
  for (double& value : values) {
    value = uniform(random) * uniform(random);
    if (kind == 1) value = std::exp(-40.0 * value);
    if (kind == 2) value = random() % 3 == 0 ? value : 0.0;
    if (kind == 3) value = 1.0;
    // Odd numbers of half units of sums from 1 to 2: every addition is a tie.
    if (kind == 4) value = static_cast<double>(2 * (random() % 1000) + 1) * 0x1.0p-53;
    if (kind == 5) value = std::ldexp(value, static_cast<int>(random() % 120) - 60);
  }
  if (kind == 4) values[0] = 1.0;
  if (kind == 6) std::sort(values.begin(), values.end());
  if (kind == 7) std::fill(values.begin(), values.end(), 0.0), values[size / 2] = 0.7;
  return values;
}

CUDA_TEST(OrderedSumsHaveTheBitsOfAddingOneByOne) {
  std::mt19937 random(1);
  for (const size_t size : {1, 2, 31, 32, 33, 256, 512, 592, 1344}) {
    for (int kind = 0; kind < 8; ++kind) {
      for (const double share : {0.0, 0.3, 0.77, 0.9999999, 1.0, 1.0000001}) {
        check("kind " + std::to_string(kind) + ", " + std::to_string(size) + " values, share " +
                  std::to_string(share),
              make_values(kind, size, random), share);
      }
    }
  }
}

}  // namespace
}  // namespace glmoe::cuda
