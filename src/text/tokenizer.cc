#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/piece_cache.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_build.h"
#include "text/unicode.h"

namespace glmoe {
namespace {

constexpr size_t kMaxTextBytes = (size_t{1} << 31) - 1;

// What one thread needs while it encodes. Kept between calls, so that the cache stays warm.
struct Scratch {
  RegexScratch regex;
  BpeScratch bpe;
  PieceCache cache;
};

void check_text(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    fail_argument("text of {} bytes: at most {} can be tokenized", text.size(), kMaxTextBytes);
  }
  if (const auto offset = find_invalid_utf8(text)) {
    fail_argument("text is not valid UTF-8: byte {} (0x{:02X}) begins no well-formed character",
                  *offset, static_cast<uint8_t>(text[*offset]));
  }
}

// `text` without the fillers in it, which are not empty.
std::string without(std::string text, std::string_view filler) {
  size_t at = text.find(filler);
  if (at == std::string::npos) return text;
  std::string out;
  size_t done = 0;
  for (; at != std::string::npos; at = text.find(filler, done)) {
    out.append(text, done, at - done);
    done = at + filler.size();
  }
  return out.append(text, done);
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerParts parts;
  std::mutex mutex;
  std::vector<std::unique_ptr<Scratch>> idle;  // guarded by mutex

  std::unique_ptr<Scratch> take_scratch() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto scratch = std::move(idle.back());
        idle.pop_back();
        return scratch;
      }
    }
    return std::make_unique<Scratch>();
  }
  void give_back(std::unique_ptr<Scratch> scratch) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(scratch));
  }

  void encode_text(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
    const auto encode_piece = [&](std::string_view piece) {
      if (piece.size() > PieceCache::kMaxPieceBytes) {
        parts.bpe.encode(piece, scratch.bpe, ids);
        return;
      }
      const uint64_t hash = hash_bytes(piece);
      if (scratch.cache.append(piece, hash, ids)) return;
      const size_t before = ids.size();
      parts.bpe.encode(piece, scratch.bpe, ids);
      scratch.cache.insert(piece, hash, std::span(ids).subspan(before));
    };
    parts.pre_tokenizer.split(text, scratch.regex, encode_piece);
  }
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_folder(const std::string& folder) {
  const std::string path = folder + "/tokenizer.json";
  const std::string config_path = folder + "/tokenizer_config.json";
  const std::string text = read_text_file(path);
  std::string config;
  if (std::filesystem::exists(config_path)) config = read_text_file(config_path, size_t{64} << 20);
  return from_json(text, config, path);
}

bool Tokenizer::present_in(const std::string& folder) {
  std::error_code error;
  return std::filesystem::is_regular_file(folder + "/tokenizer.json", error);
}

Tokenizer Tokenizer::from_json(std::string_view tokenizer_json, std::string_view config_json,
                               const std::string& what) {
  auto impl = std::make_unique<Impl>();
  impl->parts = build_tokenizer(tokenizer_json, config_json, what);
  return Tokenizer(std::move(impl));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  check_text(text);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  auto scratch = impl_->take_scratch();
  const auto encode_part = [&](std::string_view part) { impl_->encode_text(part, *scratch, ids); };
  if (parse_special) {
    impl_->parts.added.split(text, scratch->regex, encode_part,
                             [&](int32_t id) { ids.push_back(id); });
  } else {
    encode_part(text);
  }
  impl_->give_back(std::move(scratch));
  return ids;
}

std::vector<int32_t> Tokenizer::encode_without(std::string_view text,
                                               std::span<const std::string> fillers) const {
  check_text(text);
  std::vector<int32_t> ids;
  auto scratch = impl_->take_scratch();
  const auto encode_part = [&](std::string_view part) {
    std::string ordinary(part);
    for (const std::string& filler : fillers) ordinary = without(std::move(ordinary), filler);
    if (!ordinary.empty()) impl_->encode_text(ordinary, *scratch, ids);
  };
  impl_->parts.added.split(text, scratch->regex, encode_part,
                           [&](int32_t id) { ids.push_back(id); });
  impl_->give_back(std::move(scratch));
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (skip_special && is_special(id)) continue;
    bytes += token_bytes(id);
  }
  std::string text;
  text.reserve(bytes.size());
  append_lossy_utf8(text, bytes, true);
  return text;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  const AddedToken* added = impl_->parts.added.find(id);
  return added != nullptr ? std::string_view(added->bytes) : impl_->parts.bpe.bytes_of(id);
}

std::optional<int32_t> Tokenizer::token_id(std::string_view text) const {
  if (const auto id = impl_->parts.added.id_of(text)) return id;
  return impl_->parts.bpe.find(text);
}

bool Tokenizer::has_token(int32_t id) const { return impl_->parts.bpe.has(id) || is_added(id); }

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = impl_->parts.added.find(id);
  return token != nullptr && token->special;
}

bool Tokenizer::is_added(int32_t id) const { return impl_->parts.added.find(id) != nullptr; }

std::vector<std::string> Tokenizer::added_tokens() const {
  std::vector<std::string> contents;
  for (const AddedToken& token : impl_->parts.added.tokens()) contents.push_back(token.content);
  return contents;
}

int64_t Tokenizer::vocab_size() const {
  return std::max(impl_->parts.bpe.end_id(), impl_->parts.added.end_id());
}

}  // namespace glmoe
