// XXH3-128 of bytes, whole or as they pass by.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace glmoe {

// 32 hexadecimal digits, in XXH128's canonical order.
std::string checksum_hex(std::span<const std::byte> bytes);

class ChecksumStream {
 public:
  ChecksumStream();
  ~ChecksumStream();
  ChecksumStream(ChecksumStream&&) noexcept;
  ChecksumStream& operator=(ChecksumStream&&) noexcept;

  void update(std::span<const std::byte> bytes);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glmoe
