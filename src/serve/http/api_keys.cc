#include "serve/http/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace glmoe::serve {

ApiKeys::Digest ApiKeys::digest_of(std::string_view key) {
  Digest digest{};
  unsigned int length = 0;
  if (EVP_Digest(key.data(), key.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1 ||
      length != digest.size()) {
    fail(ErrorCode::kInternal, "SHA-256 failed: OpenSSL has no such digest here");
  }
  return digest;
}

void ApiKeys::add(std::string_view key, const std::string& where) {
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > 32 && c < 127; });
  if (key.empty() || key.size() > 4096 || !printable) {
    fail_argument("{}: a key of 1 to 4096 printable ASCII characters without spaces was wanted",
                  where);
  }
  digests_.push_back(digest_of(key));
}

void ApiKeys::add_file(const std::string& path) {
  const std::string text = read_text_file(path, size_t{1} << 20);
  const size_t before = digests_.size();
  size_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    add(line, fmt::format("{} line {}", path, line_number));
  }
  if (digests_.size() == before) {
    fail_argument("{}: no keys in this file: one a line was wanted", path);
  }
}

std::string ApiKeys::find(std::string_view key) const {
  const Digest asked = digest_of(key);
  const Digest* found = nullptr;
  for (const Digest& digest : digests_) {
    const bool same = CRYPTO_memcmp(digest.data(), asked.data(), digest.size()) == 0;
    found = same ? &digest : found;
  }
  if (found == nullptr) return {};
  return fmt::format("{:02x}{:02x}{:02x}{:02x}", (*found)[0], (*found)[1], (*found)[2],
                     (*found)[3]);
}

std::string_view key_of(const HttpRequest& request) {
  std::string_view value = request.header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), value.begin(), [](char wanted, char found) {
        return wanted == static_cast<char>(found | 0x20);
      })) {
    value.remove_prefix(kScheme.size());
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return request.header("x-api-key");
}

}  // namespace glmoe::serve
