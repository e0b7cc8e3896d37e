// Regular expressions through PCRE2: Unicode, compiled to machine code, bounded.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace glmoe {

// Working memory of one matching thread.
class RegexScratch {
 public:
  RegexScratch();
  RegexScratch(RegexScratch&&) noexcept;
  RegexScratch& operator=(RegexScratch&&) noexcept;
  ~RegexScratch();

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Thread-safe once built.
class Regex {
 public:
  // `pattern` as tokenizer.json has it (Oniguruma's syntax). What PCRE2 would read differently is
  // rewritten (\s, \S) or refused as kUnsupported; a malformed pattern is kCorrupt. `what` names
  // its source in messages.
  Regex(std::string_view pattern, std::string what);
  // Matches exactly `text`.
  static Regex literal(std::string_view text, std::string what);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  struct Match {
    size_t begin, end;
  };
  // First match at or after `start` of well-formed UTF-8; false without one. Throws
  // kInvalidArgument where the match costs more than the limits allow.
  bool find(std::string_view text, size_t start, RegexScratch& scratch, Match& match) const;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmoe
