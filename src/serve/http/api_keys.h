// API keys: kept as SHA-256 digests, compared in constant time, all of them at every request.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/handler.h"

namespace glmoe::serve {

class ApiKeys {
 public:
  // A key has 1 to 4096 printable ASCII characters without spaces. `where` it comes from names it
  // in errors, which never show the key. Throws kInvalidArgument.
  void add(std::string_view key, const std::string& where);
  // A key a line; empty lines and those that begin with '#' are left out. Throws kNotFound or kIo,
  // and kInvalidArgument for a file without keys.
  void add_file(const std::string& path);

  bool empty() const { return digests_.empty(); }
  size_t size() const { return digests_.size(); }

  // The matching key's short public name (the first 8 hexadecimal digits of its digest), or empty.
  // The time does not depend on the keys, nor on which one matches.
  std::string find(std::string_view key) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest_of(std::string_view key);
  std::vector<Digest> digests_;
};

// The key that a request brings: "Authorization: Bearer KEY", or "x-api-key: KEY".
std::string_view key_of(const HttpRequest& request);

}  // namespace glmoe::serve
