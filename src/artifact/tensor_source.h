// Full logical tensors as rectangles of memory, wherever they lie: Hugging Face tensors, ranks of a
// converted folder, blobs of an engine. Everything that converts, stitches or compares reads this.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "glmoe/mapping.h"
#include "spec/weight_plan.h"
#include "tensor/tensor.h"

namespace glmoe {

// A rectangle of a full logical tensor. Vectors are one column of rows.
struct SourcePiece {
  const std::byte* data = nullptr;  // the rectangle's first element
  DType dtype = DType::kF32;
  int64_t stride = 0;  // elements from one row to the next
  int64_t matrix = 0, row = 0, num_rows = 0, col = 0, num_cols = 0;  // place in the full tensor
  const void* origin = nullptr;  // the source's own mark, for TensorSource::release
};

struct TensorSource {
  WeightPlan plan;             // only tensors that are there; plan.config says what was found
  DType dtype = DType::kBF16;  // of the matrices
  std::vector<std::vector<SourcePiece>> pieces;     // one list for each tensor of the plan
  std::function<void(const SourcePiece&)> release;  // gives pages back; may be empty
  Mapping mapping;                    // of the source itself: one rank for a Hugging Face folder
  std::string folder;                 // where tokenizer, template and generation file lie
  std::string kind;                   // "huggingface", "converted", "engine"
  std::string fingerprint;            // identifies the source in manifests
  std::shared_ptr<const void> owner;  // keeps the memory alive
};

// The same without its MTP layers, which the forward pass does not run.
TensorSource without_mtp(TensorSource source);

// Pieces of the full tensor from all ranks' slices; what several ranks hold is taken once.
// `views[r]` is rank r's tensor, empty where the rank does not hold it.
std::vector<SourcePiece> pieces_of_ranks(const WeightPlan& plan, const LogicalTensor& tensor,
                                         const Mapping& mapping,
                                         const std::vector<TensorView>& views);

// The element type in which a tensor is stored when matrices are stored as `dtype`.
DType stored_dtype(const LogicalTensor& tensor, DType dtype);

// Rows per matrix and columns of a tensor's shape; vectors have one column.
int64_t matrix_rows(const Shape& shape);
int64_t matrix_cols(const Shape& shape);
int64_t flat_rows(const Shape& shape);  // over all matrices of a stack

// Fills rows [row_begin, row_end) (counted over all matrices of the stack) of a rank's tensor of
// shape `shape` at `target`, which must be zero where the slices leave holes. Throws
// kInvalidArgument naming tensor and value when a finite number becomes infinite in float16, kIo
// when a mapped file shrank underneath.
void fill_rows(const LogicalTensor& tensor, std::span<const SourcePiece> pieces,
               std::span<const SliceCopy> slices, const Shape& shape, DType dtype,
               int64_t row_begin, int64_t row_end, std::byte* target);

// Whether the slices leave holes (padding) in a tensor of `shape`.
bool leaves_holes(std::span<const SliceCopy> slices, const Shape& shape);

}  // namespace glmoe
