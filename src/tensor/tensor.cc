#include "tensor/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace glmoe {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  GLMOE_CHECK_LE(rank_, kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::num_elements() const {
  int64_t count = 1;
  for (const int64_t dim : dims()) count *= dim;
  return count;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    text += (axis > 0 ? ", " : "") + std::to_string((*this)[axis]);
  }
  return text + "]";
}

bool Shape::operator==(const Shape& other) const {
  return std::ranges::equal(dims(), other.dims());
}

QuantView QuantView::matrix(int64_t e) const {
  GLMOE_CHECK_EQ(codes.shape.rank(), 3);
  GLMOE_CHECK_LT(e, codes.shape[0]);
  QuantView view = *this;
  view.codes.shape = Shape{codes.shape[1], codes.shape[2]};
  view.codes.data = codes.as<std::byte>() + static_cast<size_t>(e) * view.codes.num_bytes();
  return view;
}

Buffer::Buffer(size_t num_bytes) : size_(num_bytes) {
  if (num_bytes == 0) return;
  void* data = ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    fail(ErrorCode::kOutOfMemory, "{} bytes of memory could not be had: {}", num_bytes,
         std::strerror(errno));
  }
  ::madvise(data, num_bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(data);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

namespace {
constexpr size_t kAlignment = 64;
size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
}  // namespace

std::byte* Workspace::allocate_bytes(size_t num_bytes) {
  num_bytes = align_up(num_bytes);
  const size_t begin = used_;
  used_ += num_bytes;
  high_water_ = std::max(high_water_, used_);
  if (used_ <= capacity_) return block_.data() + begin;
  return overflow_.emplace_back(num_bytes).data();
}

void Workspace::reserve(size_t num_bytes) {
  num_bytes = align_up(num_bytes);
  if (num_bytes <= capacity_) return;
  GLMOE_CHECK_EQ(used_, size_t{0}, "a workspace grows only between steps");
  block_ = Buffer(num_bytes);
  capacity_ = num_bytes;
}

void Workspace::reset() {
  used_ = 0;
  overflow_.clear();
  reserve(high_water_);
}

}  // namespace glmoe
