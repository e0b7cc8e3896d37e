// Shapes, views and owned memory. Views are values: a pointer, a type and a shape, row-major dense.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace glmoe {

// Up to four dimensions, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t num_elements() const;
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  std::string to_string() const;  // "[128, 2816, 4096]"
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// Does not own; constness of the bytes is by convention of the op that takes it.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int64_t num_elements() const { return shape.num_elements(); }
  size_t num_bytes() const { return static_cast<size_t>(num_elements()) * dtype_size(dtype); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  bool empty() const { return data == nullptr; }
};

// How a weight's numbers are stored. Quantised formats add their kind here, and QuantView's scales.
enum class QuantFormat : uint8_t { kPlain };

// A weight as one value: `codes` [.., N, K] with, for quantised formats, `scales`. Plain weights
// (F32, BF16, F16) are the trivial case. Does not own.
struct QuantView {
  TensorView codes;
  TensorView scales;
  QuantFormat format = QuantFormat::kPlain;

  bool empty() const { return codes.empty(); }
  int64_t rows() const { return codes.shape[codes.shape.rank() - 2]; }  // N
  int64_t cols() const { return codes.shape[codes.shape.rank() - 1]; }  // K
  // Matrix e of a stack [E, N, K].
  QuantView matrix(int64_t e) const;
};

// Owned zero-filled memory, 64-byte aligned, of anonymous pages (huge ones where the system gives
// them). Pages become resident when first touched. Move-only. Throws kOutOfMemory with the size.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t num_bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Bump allocator for the scratch memory of one step: allocate freely, then reset. Grows only
// between steps (reset makes one block of the size that the last step asked for).
class Workspace {
 public:
  template <class T>
  T* allocate(int64_t count) {
    return reinterpret_cast<T*>(allocate_bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  std::byte* allocate_bytes(size_t num_bytes);  // 64-byte aligned, not cleared
  void reserve(size_t num_bytes);
  void reset();
  size_t capacity() const { return capacity_; }
  size_t high_water() const { return high_water_; }

  // Releases everything allocated since, when it goes out of scope.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Scope() { workspace_.used_ = used_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    size_t used_;
  };

 private:
  Buffer block_;
  std::vector<Buffer> overflow_;  // what did not fit this time; the next reset makes room
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t high_water_ = 0;
};

}  // namespace glmoe
