// A list of token ids or block numbers that keeps up to two of them in itself. Thousands of rows of
// a step hold one token each: without memory of its own such a row is one cache line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace glmoe {

// As std::vector<int32_t>, as far as it goes: a value, contiguous, and what it has once taken it
// keeps. At most 2^31 - 1 entries.
class IdList {
 public:
  using value_type = int32_t;
  using iterator = int32_t*;
  using const_iterator = const int32_t*;

  IdList() = default;
  IdList(std::initializer_list<int32_t> ids) { append({ids.begin(), ids.size()}); }
  // Lists come from, and are compared with, what others keep in vectors.
  IdList(const std::vector<int32_t>& ids) { append(ids); }  // NOLINT(google-explicit-constructor)
  IdList(const IdList& other) { append(other); }
  IdList(IdList&& other) noexcept { swap(other); }
  IdList& operator=(const IdList& other) {
    if (this != &other) assign(other);
    return *this;
  }
  IdList& operator=(IdList&& other) noexcept {
    swap(other);
    return *this;
  }
  ~IdList() { free_memory(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }
  int32_t* data() { return is_inline() ? storage_.here : storage_.elsewhere; }
  const int32_t* data() const { return is_inline() ? storage_.here : storage_.elsewhere; }
  iterator begin() { return data(); }
  iterator end() { return data() + size_; }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size_; }
  int32_t& operator[](size_t i) { return data()[i]; }
  int32_t operator[](size_t i) const { return data()[i]; }
  int32_t at(size_t i) const {
    GLMOE_CHECK_LT(i, size());
    return data()[i];
  }
  int32_t& front() { return *data(); }
  int32_t front() const { return *data(); }
  int32_t back() const { return data()[size_ - 1]; }

  void clear() { size_ = 0; }
  void reserve(size_t count) {
    if (count > capacity_) move_to(count);
  }
  // New entries are 0.
  void resize(size_t count) {
    grow_to_hold(count);
    if (count > size_) std::fill(end(), data() + count, 0);
    size_ = static_cast<uint32_t>(count);
  }
  void push_back(int32_t id) {
    if (size_ == capacity_) grow_to_hold(size() + 1);
    data()[size_++] = id;
  }
  // `ids` is no part of this list.
  void append(std::span<const int32_t> ids) {
    grow_to_hold(size() + ids.size());
    std::ranges::copy(ids, end());
    size_ += static_cast<uint32_t>(ids.size());
  }
  void assign(std::span<const int32_t> ids) {
    clear();
    append(ids);
  }
  // As assign() of one entry, but memory of its own is given back.
  void assign_one(int32_t id) {
    if (!is_inline()) {
      free_memory();
      capacity_ = kNumHere;
    }
    storage_.here[0] = id;
    size_ = 1;
  }
  template <std::contiguous_iterator Iterator>
  void assign(Iterator first, Iterator last) {
    assign(std::span<const int32_t>(first, last));
  }

  friend bool operator==(const IdList& a, const IdList& b) { return std::ranges::equal(a, b); }

 private:
  static constexpr uint32_t kNumHere = 2;

  bool is_inline() const { return capacity_ == kNumHere; }
  void swap(IdList& other) noexcept {
    std::swap(storage_, other.storage_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  void grow_to_hold(size_t count) {
    if (count > capacity_) move_to(std::max(count, 2 * capacity()));
  }
  void move_to(size_t capacity);
  void free_memory() {
    if (!is_inline()) delete[] storage_.elsewhere;
  }

  union Storage {
    int32_t here[kNumHere];
    int32_t* elsewhere;
  };

  Storage storage_ = {.here = {0, 0}};
  uint32_t size_ = 0;
  uint32_t capacity_ = kNumHere;
};
static_assert(sizeof(IdList) == 16);

}  // namespace glmoe
