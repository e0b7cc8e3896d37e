#include "artifact/tensor_source.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/file.h"

namespace glmoe {
namespace {

// One rectangle to copy: source and target with their row strides, in elements.
struct Rect {
  const std::byte* source;
  DType from;
  int64_t source_stride;
  std::byte* target;
  int64_t target_stride;
  int64_t num_rows, num_cols;
};

float read_f32(const std::byte* data, DType dtype, int64_t index) {
  float value = 0;
  convert_elements(data + index * static_cast<int64_t>(dtype_size(dtype)), dtype, &value,
                   DType::kF32, 1);
  return value;
}

// Index of the first finite number that became infinite in float16, or -1.
int64_t find_overflow(const Rect& rect, const std::byte* source, const std::byte* target,
                      int64_t count) {
  const auto* half = reinterpret_cast<const uint16_t*>(target);
  bool any = false;
  for (int64_t i = 0; i < count; ++i) any |= (half[i] & 0x7fffu) == 0x7c00u;
  if (!any) return -1;
  for (int64_t i = 0; i < count; ++i) {
    if ((half[i] & 0x7fffu) == 0x7c00u && std::isfinite(read_f32(source, rect.from, i))) return i;
  }
  return -1;
}

struct CopyJob {
  const std::vector<Rect>& rects;
  DType to;
  // First overflow found: which rectangle, and its value.
  bool overflow = false;
  float value = 0;
};

// Runs under the bus error guard: nothing in here owns anything.
void copy_rects(void* argument) {
  CopyJob& job = *static_cast<CopyJob*>(argument);
  for (const Rect& rect : job.rects) {
    const bool dense = rect.num_cols == rect.source_stride && rect.num_cols == rect.target_stride;
    const int64_t runs = dense ? 1 : rect.num_rows;
    const int64_t count = dense ? rect.num_rows * rect.num_cols : rect.num_cols;
    const auto from_size = static_cast<int64_t>(dtype_size(rect.from));
    const auto to_size = static_cast<int64_t>(dtype_size(job.to));
    for (int64_t run = 0; run < runs; ++run) {
      const std::byte* source = rect.source + run * rect.source_stride * from_size;
      std::byte* target = rect.target + run * rect.target_stride * to_size;
      convert_elements(source, rect.from, target, job.to, static_cast<size_t>(count));
      if (job.to != DType::kF16 || rect.from == DType::kF16) continue;
      const int64_t at = find_overflow(rect, source, target, count);
      if (at >= 0) {
        job.overflow = true;
        job.value = read_f32(source, rect.from, at);
        return;
      }
    }
  }
}

}  // namespace

TensorSource without_mtp(TensorSource source) {
  GLMOE_CHECK_EQ(source.pieces.size(), source.plan.tensors.size());
  const int64_t num_layers = source.plan.config.num_hidden_layers;
  size_t kept = 0;
  for (size_t t = 0; t < source.plan.tensors.size(); ++t) {
    if (source.plan.tensors[t].layer >= num_layers) continue;
    if (kept != t) {
      source.plan.tensors[kept] = std::move(source.plan.tensors[t]);
      source.pieces[kept] = std::move(source.pieces[t]);
    }
    ++kept;
  }
  source.plan.tensors.resize(kept);
  source.pieces.resize(kept);
  source.plan.config.num_nextn_predict_layers = 0;
  return source;
}

DType stored_dtype(const LogicalTensor& tensor, DType dtype) {
  return tensor.role == WeightRole::kMatrix ? dtype : DType::kF32;
}

int64_t matrix_rows(const Shape& shape) { return shape[shape.rank() == 3 ? 1 : 0]; }
int64_t matrix_cols(const Shape& shape) { return shape.rank() == 1 ? 1 : shape[shape.rank() - 1]; }
int64_t flat_rows(const Shape& shape) {
  return matrix_rows(shape) * (shape.rank() == 3 ? shape[0] : 1);
}

bool leaves_holes(std::span<const SliceCopy> slices, const Shape& shape) {
  int64_t covered = 0;
  for (const SliceCopy& slice : slices) covered += slice.num_rows * slice.num_cols;
  return covered != shape.num_elements();
}

std::vector<SourcePiece> pieces_of_ranks(const WeightPlan& plan, const LogicalTensor& tensor,
                                         const Mapping& mapping,
                                         const std::vector<TensorView>& views) {
  std::vector<SourcePiece> pieces;
  const auto same_place = [](const SourcePiece& a, const SourcePiece& b) {
    return a.matrix == b.matrix && a.row == b.row && a.col == b.col && a.num_rows == b.num_rows &&
           a.num_cols == b.num_cols;
  };
  for (size_t rank = 0; rank < views.size(); ++rank) {
    const TensorView& view = views[rank];
    if (view.empty()) continue;
    const Mapping here = mapping.at_rank(static_cast<int64_t>(rank));
    const int64_t cols = matrix_cols(view.shape), rows = matrix_rows(view.shape);
    const auto size = static_cast<int64_t>(dtype_size(view.dtype));
    for (const SliceCopy& slice : plan.rank_slices(tensor, here)) {
      const int64_t first =
          (slice.target_matrix * rows + slice.target_row) * cols + slice.target_col;
      const SourcePiece piece{view.as<std::byte>() + first * size,
                              view.dtype,
                              cols,
                              slice.source_matrix,
                              slice.source_row,
                              slice.num_rows,
                              slice.source_col,
                              slice.num_cols,
                              nullptr};
      const bool known = std::any_of(pieces.begin(), pieces.end(), [&](const SourcePiece& other) {
        return same_place(piece, other);
      });
      if (!known) pieces.push_back(piece);
    }
  }
  return pieces;
}

void fill_rows(const LogicalTensor& tensor, std::span<const SourcePiece> pieces,
               std::span<const SliceCopy> slices, const Shape& shape, DType dtype,
               int64_t row_begin, int64_t row_end, std::byte* target) {
  const int64_t rows = matrix_rows(shape), cols = matrix_cols(shape);
  const auto size = static_cast<int64_t>(dtype_size(dtype));
  std::vector<Rect> rects;
  for (const SliceCopy& slice : slices) {
    // Flat rows of the rank's tensor that this slice fills, cut to what is wanted.
    const int64_t slice_begin = slice.target_matrix * rows + slice.target_row;
    const int64_t begin = std::max(row_begin, slice_begin);
    const int64_t end = std::min(row_end, slice_begin + slice.num_rows);
    if (begin >= end) continue;
    const int64_t source_begin = slice.source_row + (begin - slice_begin);
    const int64_t source_end = source_begin + (end - begin);
    for (const SourcePiece& piece : pieces) {
      if (piece.matrix != slice.source_matrix) continue;
      const int64_t r0 = std::max(source_begin, piece.row);
      const int64_t r1 = std::min(source_end, piece.row + piece.num_rows);
      const int64_t c0 = std::max(slice.source_col, piece.col);
      const int64_t c1 = std::min(slice.source_col + slice.num_cols, piece.col + piece.num_cols);
      if (r0 >= r1 || c0 >= c1) continue;
      const int64_t from = (r0 - piece.row) * piece.stride + (c0 - piece.col);
      const int64_t to = (begin - row_begin + r0 - source_begin) * cols + slice.target_col +
                         (c0 - slice.source_col);
      rects.push_back({piece.data + from * static_cast<int64_t>(dtype_size(piece.dtype)),
                       piece.dtype, piece.stride, target + to * size, cols, r1 - r0, c1 - c0});
    }
  }
  CopyJob job{rects, dtype};
  with_bus_error_guard(tensor.name, copy_rects, &job);
  if (job.overflow) {
    fail_argument(
        "{}: {} does not fit float16 (at most 65504); convert with --dtype bfloat16 or float32",
        tensor.name, job.value);
  }
}

}  // namespace glmoe
