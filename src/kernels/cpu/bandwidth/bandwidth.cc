#include "kernels/cpu/bandwidth/bandwidth.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/clock.h"
#include "base/error.h"
#include "kernels/cpu/target.h"

#define HWY_DISABLED_TARGETS HWY_SSSE3
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bandwidth/bandwidth.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h, as Highway asks.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace glmoe::bandwidth::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Reads whole 4 KiB pages with one load a vector, `distance` bytes ahead prefetched (0: not).
// The sum is returned so that no load can be left out.
uint64_t read_pages(const uint8_t* data, size_t bytes, size_t distance) {
  const hn::ScalableTag<uint64_t> d;
  constexpr size_t kStep = hn::MaxLanes(d) * sizeof(uint64_t);
  constexpr size_t kLine = 64;
  constexpr size_t kPerLine = kStep >= kLine ? 1 : kLine / kStep;
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  for (size_t i = 0; i < bytes; i += 2 * kLine) {
    if (distance != 0) {
      __builtin_prefetch(data + i + distance, 0, 3);
      __builtin_prefetch(data + i + kLine + distance, 0, 3);
    }
    for (size_t j = 0; j < kPerLine; ++j) {
      const uint8_t* line = data + i + j * kStep;
      sum0 = hn::Add(sum0, hn::LoadU(d, reinterpret_cast<const uint64_t*>(line)));
      sum1 = hn::Add(sum1, hn::LoadU(d, reinterpret_cast<const uint64_t*>(line + kLine)));
    }
  }
  alignas(64) uint64_t lanes[hn::MaxLanes(d)];
  hn::Store(hn::Add(sum0, sum1), d, lanes);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

// Twelve independent chains for `rounds` rounds; returns the operations done.
double multiply_add(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, 0.001f);
  // Different values, or the compiler would see one chain.
  const auto start = [d](float v) { return hn::Set(d, v); };
  auto a = start(1), b = start(2), c = start(3), e = start(4), f = start(5), g = start(6),
       h = start(7), i = start(8), j = start(9), k = start(10), l = start(11), m = start(12);
  for (int64_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, term), b = hn::MulAdd(b, factor, term);
    c = hn::MulAdd(c, factor, term), e = hn::MulAdd(e, factor, term);
    f = hn::MulAdd(f, factor, term), g = hn::MulAdd(g, factor, term);
    h = hn::MulAdd(h, factor, term), i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term), k = hn::MulAdd(k, factor, term);
    l = hn::MulAdd(l, factor, term), m = hn::MulAdd(m, factor, term);
  }
  const auto sum = hn::Add(
      hn::Add(hn::Add(a, b), hn::Add(c, e)),
      hn::Add(hn::Add(hn::Add(f, g), hn::Add(h, i)), hn::Add(hn::Add(j, k), hn::Add(l, m))));
  *sink += hn::GetLane(sum);
  return 2.0 * 12.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace glmoe::bandwidth::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace glmoe {
namespace bandwidth {
HWY_EXPORT(read_pages);
HWY_EXPORT(multiply_add);
}  // namespace bandwidth

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

struct Pages {
  explicit Pages(size_t num_bytes) : bytes(num_bytes) {
    data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
      fail(ErrorCode::kOutOfMemory, "{} bytes for the bandwidth measurement could not be had",
           bytes);
    }
    ::madvise(data, bytes, MADV_HUGEPAGE);
  }
  ~Pages() { ::munmap(data, bytes); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void* data;
  size_t bytes;
};

double seconds_of(const auto& work) {
  const SteadyClock clock;
  const double begin = clock.now_ms();
  work();
  return (clock.now_ms() - begin) / 1000.0;
}

}  // namespace

double measure_read_bandwidth(ThreadTeam& team, size_t bytes) {
  cpu_target();
  const size_t pieces = std::max<size_t>(bytes / kHugePage, 1);
  const Pages pages(pieces * kHugePage);
  auto* data = static_cast<uint8_t*>(pages.data);
  std::atomic<uint64_t> sink{0};
  const auto for_pieces = [&](const auto& work) {
    team.parallel_for(static_cast<int64_t>(pieces), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) work(data + static_cast<size_t>(i) * kHugePage);
    });
  };
  // Pages that nobody wrote would all be the one zero page.
  for_pieces([](uint8_t* piece) { std::memset(piece, 1, kHugePage); });
  constexpr int kPasses = 3;
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    for (const size_t distance : {0, 512, 1024, 4096}) {
      const double seconds = seconds_of([&] {
        for_pieces([&](const uint8_t* piece) {
          sink += HWY_DYNAMIC_DISPATCH(bandwidth::read_pages)(piece, kHugePage, distance);
        });
      });
      best = std::max(best, static_cast<double>(pages.bytes) / seconds / 1e9);
    }
  }
  return best;
}

double measure_fma_peak(ThreadTeam& team) {
  cpu_target();
  constexpr int64_t kRounds = 4'000'000;  // about ten milliseconds
  constexpr int kPasses = 8;
  double best = 0.0;
  std::atomic<double> operations{0.0};
  std::atomic<float> sink{0.0f};
  for (int pass = 0; pass < kPasses; ++pass) {
    operations = 0.0;
    const double seconds = seconds_of([&] {
      team.run([&](int) {
        float sum = 0.0f;
        operations += HWY_DYNAMIC_DISPATCH(bandwidth::multiply_add)(kRounds, &sum);
        sink += sum;
      });
    });
    best = std::max(best, operations / seconds / 1e9);
  }
  return best;
}

}  // namespace glmoe
#endif  // HWY_ONCE
