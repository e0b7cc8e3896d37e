// RopeTable: cosines and sines by position, filled on demand.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "ops/attention.h"

namespace glmoe {
namespace {
// Positions computed together: some 30 us for R = 64, and few enough that short chats stay small.
constexpr int64_t kPiece = 16;
}  // namespace

struct RopeTable::Pieces {
  std::vector<double> inv_freq;                 // [R/2]
  Buffer values;                                // [max_positions, R], resident where filled
  std::unique_ptr<std::atomic<bool>[]> filled;  // one a piece
  std::mutex filling;

  void fill(int64_t piece, int64_t max_positions) {
    const std::lock_guard lock(filling);
    if (filled[static_cast<size_t>(piece)].load(std::memory_order_relaxed)) return;
    const size_t half = inv_freq.size();
    const int64_t end = std::min((piece + 1) * kPiece, max_positions);
    for (int64_t position = piece * kPiece; position < end; ++position) {
      float* row =
          reinterpret_cast<float*>(values.data()) + static_cast<size_t>(position) * 2 * half;
      for (size_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * inv_freq[i];
        row[i] = static_cast<float>(std::cos(angle));
        row[half + i] = static_cast<float>(std::sin(angle));
      }
    }
    filled[static_cast<size_t>(piece)].store(true, std::memory_order_release);
  }
};

RopeTable::RopeTable(int64_t max_positions, int64_t rotary_dim, double theta)
    : max_positions_(max_positions), rotary_dim_(rotary_dim), pieces_(std::make_unique<Pieces>()) {
  GLMOE_CHECK_GE(max_positions, 0);
  GLMOE_CHECK(rotary_dim >= 0 && rotary_dim % 2 == 0,
              "RopeTable: rotary dimensions: wanted an even number, found {}", rotary_dim);
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    pieces_->inv_freq.push_back(
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim)));
  }
  pieces_->values = Buffer(static_cast<size_t>(max_positions * rotary_dim) * sizeof(float));
  const int64_t num_pieces = (max_positions + kPiece - 1) / kPiece;
  pieces_->filled = std::make_unique<std::atomic<bool>[]>(static_cast<size_t>(num_pieces));
}

RopeTable::RopeTable(RopeTable&&) noexcept = default;
RopeTable& RopeTable::operator=(RopeTable&&) noexcept = default;
RopeTable::~RopeTable() = default;

std::span<const float> RopeTable::at(int64_t position) const {
  GLMOE_CHECK(position >= 0 && position < max_positions_,
              "RopeTable: position: wanted 0 to {}, found {}", max_positions_ - 1, position);
  const int64_t piece = position / kPiece;
  if (!pieces_->filled[static_cast<size_t>(piece)].load(std::memory_order_acquire)) {
    pieces_->fill(piece, max_positions_);
  }
  return {reinterpret_cast<const float*>(pieces_->values.data()) + position * rotary_dim_,
          static_cast<size_t>(rotary_dim_)};
}

}  // namespace glmoe
