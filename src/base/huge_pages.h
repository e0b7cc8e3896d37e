// An allocator for large tables that are read all over: huge pages spare most of the look-ups of
// addresses, which otherwise cost as much as the reads. Where the system has none to give, ordinary
// pages serve.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace glmoe {

template <class T>
struct HugePageAllocator {
  using value_type = T;
  static constexpr size_t kPageBytes = size_t{2} << 20;

  HugePageAllocator() = default;
  template <class U>
  HugePageAllocator(const HugePageAllocator<U>&) {}  // NOLINT(google-explicit-constructor)

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    if (!is_large(bytes)) return static_cast<T*>(::operator new(bytes));
    void* memory = ::operator new(bytes, std::align_val_t(kPageBytes));
    // Only a hint: what it answers changes nothing.
    madvise(memory, bytes / kPageBytes * kPageBytes, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) {
    if (is_large(count * sizeof(T))) {
      ::operator delete(memory, std::align_val_t(kPageBytes));
    } else {
      ::operator delete(memory);
    }
  }
  bool operator==(const HugePageAllocator&) const = default;

 private:
  static bool is_large(size_t bytes) { return bytes >= 2 * kPageBytes; }
};

}  // namespace glmoe
