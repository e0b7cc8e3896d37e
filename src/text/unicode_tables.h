// Unicode data of the text room; the values are generated (tools/reference/make_unicode_tables.py).
#pragma once

#include <cstddef>
#include <cstdint>

namespace glmoe {

struct CodePointRange {
  uint32_t first, last;
};
// Code points first, first + stride, ..., last map to themselves plus delta.
struct CaseRun {
  uint32_t first, last;
  uint8_t stride;
  int32_t delta;
};
struct FullCaseMapping {
  uint32_t code_point;
  const char* text;  // UTF-8, more than one code point
};

extern const CodePointRange kLetters[];  // \p{L}
extern const size_t kLettersCount;
extern const CodePointRange kNumbers[];  // \p{N}
extern const size_t kNumbersCount;
extern const CodePointRange kCased[];  // letters with a case, for str.title
extern const size_t kCasedCount;
extern const CaseRun kUpper[];
extern const size_t kUpperCount;
extern const CaseRun kLower[];
extern const size_t kLowerCount;
extern const CaseRun kTitle[];  // only where it differs from kUpper
extern const size_t kTitleCount;
extern const FullCaseMapping kFullUpper[];
extern const size_t kFullUpperCount;
extern const FullCaseMapping kFullTitle[];
extern const size_t kFullTitleCount;

}  // namespace glmoe
