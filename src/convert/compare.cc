#include "convert/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>

#include "artifact/tensor_source.h"
#include "convert/load_checkpoint.h"

namespace glmoe {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{4} << 20;

std::vector<int64_t> position_of(const Shape& shape, int64_t index) {
  std::vector<int64_t> position(static_cast<size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    position[static_cast<size_t>(axis)] = index % shape[axis];
    index /= shape[axis];
  }
  return position;
}

// A whole tensor, piece by piece, in two buffers of bounded size.
class TensorComparison {
 public:
  TensorComparison(const TensorSource& a, size_t ta, const TensorSource& b, size_t tb)
      : a_(a), b_(b), ta_(ta), tb_(tb), tensor_(a.plan.tensors[ta]) {}

  TensorDifference run() {
    TensorDifference result;
    result.name = tensor_.name;
    const DType dtype = stored_dtype(tensor_, a_.dtype);
    const int64_t rows = flat_rows(tensor_.shape), cols = matrix_cols(tensor_.shape);
    const uint64_t row_bytes = static_cast<uint64_t>(cols) * dtype_size(dtype);
    const auto step = static_cast<int64_t>(std::max<uint64_t>(1, kPieceBytes / row_bytes));
    std::vector<std::byte> ours, theirs;
    for (int64_t begin = 0; begin < rows; begin += step) {
      const int64_t end = std::min(rows, begin + step);
      fill(a_, ta_, dtype, begin, end, ours);
      fill(b_, tb_, dtype, begin, end, theirs);
      if (ours != theirs) note(ours, theirs, dtype, begin * cols, result);
    }
    return result;
  }

 private:
  static void fill(const TensorSource& source, size_t t, DType dtype, int64_t begin, int64_t end,
                   std::vector<std::byte>& bytes) {
    const LogicalTensor& tensor = source.plan.tensors[t];
    const auto slices = source.plan.rank_slices(tensor, Mapping{}.resolved());
    bytes.assign(static_cast<size_t>((end - begin) * matrix_cols(tensor.shape)) * dtype_size(dtype),
                 std::byte{0});
    fill_rows(tensor, source.pieces[t], slices, tensor.shape, dtype, begin, end, bytes.data());
    if (source.release) {
      for (const SourcePiece& piece : source.pieces[t]) source.release(piece);
    }
  }

  void note(const std::vector<std::byte>& ours, const std::vector<std::byte>& theirs, DType dtype,
            int64_t first, TensorDifference& result) const {
    const size_t size = dtype_size(dtype);
    for (size_t i = 0; i < ours.size() / size; ++i) {
      if (std::memcmp(&ours[i * size], &theirs[i * size], size) == 0) continue;
      if (result.num_different++ == 0) {
        result.position = position_of(tensor_.shape, first + static_cast<int64_t>(i));
      }
      float x = 0, y = 0;
      convert_elements(&ours[i * size], dtype, &x, DType::kF32, 1);
      convert_elements(&theirs[i * size], dtype, &y, DType::kF32, 1);
      const double diff = std::abs(static_cast<double>(x) - static_cast<double>(y));
      result.max_abs_diff = std::max(
          result.max_abs_diff, std::isnan(diff) ? std::numeric_limits<double>::infinity() : diff);
    }
  }

  const TensorSource& a_;
  const TensorSource& b_;
  const size_t ta_, tb_;
  const LogicalTensor& tensor_;
};

std::map<std::string, size_t> names_of(const TensorSource& source) {
  std::map<std::string, size_t> names;
  for (size_t t = 0; t < source.plan.tensors.size(); ++t) names[source.plan.tensors[t].name] = t;
  return names;
}

}  // namespace

CompareReport compare_engine_with_source(const std::string& engine_path,
                                         const std::string& source_path, ThreadTeam& team) {
  const TensorSource engine = open_checkpoint(engine_path);
  const TensorSource source = open_checkpoint(source_path);
  const auto in_engine = names_of(engine), in_source = names_of(source);
  CompareReport report;
  for (const LogicalTensor& tensor : source.plan.tensors) {
    if (in_engine.count(tensor.name) == 0) report.missing.push_back(tensor.name);
  }
  std::vector<std::pair<size_t, size_t>> both;
  for (size_t t = 0; t < engine.plan.tensors.size(); ++t) {
    const LogicalTensor& tensor = engine.plan.tensors[t];
    const auto it = in_source.find(tensor.name);
    if (it == in_source.end()) {
      report.extra.push_back(tensor.name);
    } else if (!(source.plan.tensors[it->second].shape == tensor.shape)) {
      TensorDifference difference;
      difference.name = tensor.name;
      difference.max_abs_diff = std::numeric_limits<double>::infinity();
      difference.num_different = tensor.shape.num_elements();
      difference.position.assign(static_cast<size_t>(tensor.shape.rank()), 0);
      report.different.push_back(difference);
    } else {
      both.emplace_back(t, it->second);
    }
  }
  report.compared = static_cast<int64_t>(both.size());
  std::vector<TensorDifference> results(both.size());
  team.parallel_for(report.compared, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const auto [t, u] = both[static_cast<size_t>(i)];
      results[static_cast<size_t>(i)] = TensorComparison(engine, t, source, u).run();
    }
  });
  for (TensorDifference& result : results) {
    if (result.num_different > 0) report.different.push_back(std::move(result));
  }
  return report;
}

}  // namespace glmoe
