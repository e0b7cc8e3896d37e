// Random problems for the attention kernels: a paged cache whose unused slots are NaN, block tables
// in random order whose unused entries are no block, and the answer in double.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "harness.h"
#include "kernels/cuda/attention/attention_params.h"
#include "kernels/cuda/common/device_array.h"
#include "test_values.h"

namespace glmoe::cuda_test {

using cuda::AttentionHeads;
using cuda::DeviceArray;
using cuda::ElementType;

// A sequence of the batch: its rows are at the last positions of its context.
struct Sequence {
  int num_rows;
  int kv_len;  // 0: padding
};

struct AttentionCase {
  AttentionHeads heads;
  int tokens_per_block;
  std::vector<Sequence> sequences;
  float key_magnitude = 1.0f;  // larger: a sharper softmax

  double numbers() const {
    double sum = 0.0;
    for (const Sequence& s : sequences) {
      sum += 2.0 * s.kv_len * heads.num_kv_heads * heads.head_dim +
             2.0 * s.num_rows * heads.num_heads * heads.head_dim;
    }
    return sum;
  }
};

inline std::string describe(const AttentionCase& c) {
  std::string text;
  const auto add = [&](const char* name, int number) {
    text.append(name).append(std::to_string(number));
  };
  add("Hq ", c.heads.num_heads);
  add(" Hkv ", c.heads.num_kv_heads);
  add(" P ", c.tokens_per_block);
  text.append(", rows of context");
  for (size_t s = 0; s < c.sequences.size() && s < 8; ++s) {
    add(" ", c.sequences[s].num_rows);
    add("/", c.sequences[s].kv_len);
  }
  return text.append(c.sequences.size() > 8 ? " ..." : "");
}

template <class T>
struct AttentionProblem {
  AttentionProblem(const AttentionCase& c, uint32_t seed) : shape(c), generator(seed) {
    lay_out_rows();
    lay_out_blocks();
    std::normal_distribution<float> normal;
    qkv.resize(static_cast<size_t>(num_rows) * static_cast<size_t>(c.heads.qkv_width()));
    for (T& value : qkv) value = narrow<T>(normal(generator));
    fill_cache();
  }

  size_t width() const { return static_cast<size_t>(shape.heads.head_dim); }
  size_t out_size() const {
    return static_cast<size_t>(num_rows) * static_cast<size_t>(shape.heads.num_heads) * width();
  }
  // First element of a position's key (plane 0) or value (1).
  size_t kv_at(size_t sequence, int position, int plane, int head) const {
    const int page = shape.tokens_per_block;
    const int64_t block =
        tables[sequence * static_cast<size_t>(table_stride) + static_cast<size_t>(position / page)];
    const int64_t row =
        ((block * 2 + plane) * shape.heads.num_kv_heads + head) * page + position % page;
    return static_cast<size_t>(row) * width();
  }

  // The row `r` of a sequence, head `head`: D values and how far each may be from them.
  void expected(size_t sequence, int r, int head, std::vector<double>& values,
                std::vector<double>& tolerances) const {
    const Sequence& s = shape.sequences[sequence];
    const int last = s.kv_len - s.num_rows + r;
    const int kv_head = head / shape.heads.group();
    const size_t at = static_cast<size_t>(row_begin[sequence] + r) *
                          static_cast<size_t>(shape.heads.qkv_width()) +
                      static_cast<size_t>(head) * width();
    std::vector<double> q(width());
    for (size_t d = 0; d < width(); ++d) {
      q[d] = widen(qkv[at + d]) / std::sqrt(static_cast<double>(width()));
    }
    std::vector<double> weights(static_cast<size_t>(last) + 1);
    for (int p = 0; p <= last; ++p) {
      const T* key = &cache[kv_at(sequence, p, 0, kv_head)];
      double score = 0.0;
      for (size_t d = 0; d < width(); ++d) score += q[d] * widen(key[d]);
      weights[static_cast<size_t>(p)] = score;
    }
    const double highest = *std::max_element(weights.begin(), weights.end());
    double total = 0.0;
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    values.assign(width(), 0.0);
    std::vector<double> spread(width(), 0.0), sizes(width(), 0.0);
    for (int p = 0; p <= last; ++p) {
      const double weight = weights[static_cast<size_t>(p)] / total;
      const T* value = &cache[kv_at(sequence, p, 1, kv_head)];
      for (size_t d = 0; d < width(); ++d) {
        const double v = widen(value[d]);
        values[d] += weight * v;
        spread[d] += weight * std::abs(v);
        sizes[d] += std::abs(v);
      }
    }
    // The weights are rounded to T before they meet the values, the result is rounded once more;
    // F32's part is far smaller. F16 has fixed steps below 2^-14.
    const double step = std::is_same_v<T, __half> ? std::ldexp(1.0, -25) / total : 0.0;
    tolerances.resize(width());
    for (size_t d = 0; d < width(); ++d) {
      tolerances[d] = (kHalfStep<T> + 2e-4) * spread[d] + kHalfStep<T> * std::abs(values[d]) +
                      step * sizes[d] + 1e-7;
    }
  }

  // Compares (row, head) pairs of `out`, all or `most` spread over them, with double; the others
  // are held to be finite, rows of no sequence to be untouched.
  void compare(const std::vector<T>& out, const std::string& name, int64_t most = 800) const {
    int64_t pairs = 0;
    for (const Sequence& s : shape.sequences) {
      if (s.kv_len > 0) pairs += int64_t{s.num_rows} * shape.heads.num_heads;
    }
    const int64_t stride = pairs <= most ? 1 : (pairs / most) | 1;  // odd: all heads come up
    std::vector<double> values, tolerances;
    std::vector<bool> used(static_cast<size_t>(num_rows), false);
    int64_t index = 0, wrong = 0;
    for (size_t s = 0; s < shape.sequences.size(); ++s) {
      if (shape.sequences[s].kv_len == 0) continue;
      for (int r = 0; r < shape.sequences[s].num_rows; ++r) {
        const auto row = static_cast<size_t>(row_begin[s] + r);
        used[row] = true;
        for (int head = 0; head < shape.heads.num_heads; ++head, ++index) {
          const size_t at =
              (row * static_cast<size_t>(shape.heads.num_heads) + static_cast<size_t>(head)) *
              width();
          const bool exact = index % stride == 0 || index + 1 == pairs;
          if (exact) expected(s, r, head, values, tolerances);
          for (size_t d = 0; d < width(); ++d) {
            const double found = widen(out[at + d]);
            const bool good =
                exact ? std::abs(found - values[d]) <= tolerances[d] : std::isfinite(found);
            if (good) continue;
            if (++wrong > 1) continue;
            expect(false, name + " (" + describe(shape) + "): sequence " + std::to_string(s) +
                              " row " + std::to_string(r) + " head " + std::to_string(head) +
                              " column " + std::to_string(d) + ": wanted " +
                              (exact ? std::to_string(values[d]) + " within " +
                                           std::to_string(tolerances[d])
                                     : "a number") +
                              ", got " + std::to_string(found));
          }
        }
      }
    }
    if (wrong > 1) expect(false, name + ": " + std::to_string(wrong) + " wrong values in all");
    check_untouched(out, used, name);
  }

  AttentionCase shape;
  std::mt19937 generator;
  int num_rows = 0;  // T, with rows of no sequence between
  std::vector<int32_t> row_begin, row_counts, kv_lens, tables;
  int64_t table_stride = 1, num_blocks = 0;
  std::vector<T> qkv, cache;

 private:
  // Sequences lie in the batch in random order, some rows apart.
  void lay_out_rows() {
    const size_t count = shape.sequences.size();
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), generator);
    row_begin.assign(count, 0);
    num_rows = 1;
    for (const size_t s : order) {
      row_begin[s] = num_rows;
      num_rows += shape.sequences[s].num_rows + static_cast<int>(s % 3 == 0);
    }
    ++num_rows;
    for (const Sequence& s : shape.sequences) {
      row_counts.push_back(s.num_rows);
      kv_lens.push_back(s.kv_len);
    }
  }

  void lay_out_blocks() {
    const int page = shape.tokens_per_block;
    for (const Sequence& s : shape.sequences) {
      const int64_t blocks = (s.kv_len + page - 1) / page;
      num_blocks += blocks;
      table_stride = std::max(table_stride, blocks + 1);
    }
    num_blocks += 3;  // that nobody uses
    std::vector<int32_t> free_blocks(static_cast<size_t>(num_blocks));
    std::iota(free_blocks.begin(), free_blocks.end(), 0);
    std::shuffle(free_blocks.begin(), free_blocks.end(), generator);
    constexpr int32_t kNoBlock = 0x3fffffff;
    tables.assign(shape.sequences.size() * static_cast<size_t>(table_stride), kNoBlock);
    for (size_t s = 0; s < shape.sequences.size(); ++s) {
      for (int position = 0; position < shape.sequences[s].kv_len; position += page) {
        tables[s * static_cast<size_t>(table_stride) + static_cast<size_t>(position / page)] =
            free_blocks.back();
        free_blocks.pop_back();
      }
    }
  }

  void fill_cache() {
    cache.resize(static_cast<size_t>(num_blocks) * 2 *
                 static_cast<size_t>(shape.heads.num_kv_heads * shape.tokens_per_block) * width());
    std::memset(static_cast<void*>(cache.data()), 0xff, cache.size() * sizeof(T));
    // A long list of normal numbers walked with a stride: drawing each anew takes seconds.
    std::normal_distribution<float> normal;
    std::vector<T> keys(65521), values(65521);
    for (T& value : keys) value = narrow<T>(shape.key_magnitude * normal(generator));
    for (T& value : values) value = narrow<T>(normal(generator));
    size_t next = 0;
    for (size_t s = 0; s < shape.sequences.size(); ++s) {
      for (int position = 0; position < shape.sequences[s].kv_len; ++position) {
        for (int head = 0; head < shape.heads.num_kv_heads; ++head) {
          T* key = &cache[kv_at(s, position, 0, head)];
          T* value = &cache[kv_at(s, position, 1, head)];
          for (size_t d = 0; d < width(); ++d, ++next) {
            key[d] = keys[next % keys.size()];
            value[d] = values[next * 7 % values.size()];
          }
        }
      }
    }
  }

  void check_untouched(const std::vector<T>& out, const std::vector<bool>& used,
                       const std::string& name) const {
    const size_t row_size = static_cast<size_t>(shape.heads.num_heads) * width();
    for (size_t row = 0; row < used.size(); ++row) {
      if (used[row]) continue;
      for (size_t i = 0; i < row_size; ++i) {
        uint16_t bits;
        std::memcpy(&bits, &out[row * row_size + i], sizeof(bits));
        if (bits == 0xffff) continue;
        expect(false, name + " (" + describe(shape) + "): row " + std::to_string(row) +
                          " is of no sequence, but was written");
        return;
      }
    }
  }
};

// A problem on the device, ready for either kernel.
template <class T>
struct DeviceProblem {
  explicit DeviceProblem(const AttentionProblem<T>& host)
      : qkv(host.qkv),
        cache(host.cache),
        out(host.out_size()),
        row_begin(host.row_begin),
        row_counts(host.row_counts),
        kv_lens(host.kv_lens),
        tables(host.tables) {
    poison(out);
  }

  template <class Params>
  void fill(const AttentionProblem<T>& host, Params& params) const {
    params.qkv = qkv.data();
    params.out = out.data();
    params.type = kTypeOf<T>;
    params.heads = host.shape.heads;
    params.kv = {cache.data(), host.num_blocks, host.shape.tokens_per_block};
    params.kv_len = kv_lens.data();
    params.block_tables = tables.data();
    params.block_table_stride = host.table_stride;
    params.num_sequences = static_cast<int>(host.shape.sequences.size());
  }

  DeviceArray<T> qkv, cache, out;
  DeviceArray<int32_t> row_begin, row_counts, kv_lens, tables;
};

}  // namespace glmoe::cuda_test
