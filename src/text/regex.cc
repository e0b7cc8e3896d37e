#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "base/error.h"

namespace glmoe {
namespace {

constexpr size_t kMaxPatternBytes = 16384;
constexpr uint32_t kMatchLimit = 10'000'000;  // calls of the matcher's inner function
constexpr uint32_t kDepthLimit = 10'000;
constexpr uint32_t kHeapLimitKib = 64 << 10;
constexpr size_t kJitStackBytes = size_t{1} << 20;

// PCRE2's \s also has U+180E, which is no white space since Unicode 6.3.
constexpr std::string_view kSpaceClass =
    "\\t-\\r \\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";

// Rewrites Oniguruma's syntax to PCRE2's.
std::string translate(std::string_view pattern, const std::string& what) {
  std::string out;
  int class_depth = 0;
  const auto refuse = [&](std::string_view part) {
    fail(ErrorCode::kUnsupported, "{}: '{}' in the pattern '{}' is not supported", what, part,
         pattern);
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      const bool letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
      if (next == 's') {
        out += class_depth > 0 ? std::string(kSpaceClass) : fmt::format("[{}]", kSpaceClass);
      } else if (next == 'S' && class_depth == 0) {
        out += fmt::format("[^{}]", kSpaceClass);
      } else if ((letter && std::string_view("rntfvpPdDx").find(next) == std::string_view::npos) ||
                 (next >= '0' && next <= '9')) {
        refuse(pattern.substr(i - 1, 2));
      } else {
        out += c;
        out += next;
        // The braces of \p{L} and \x{41} are no interval.
        if (letter && pattern.substr(i + 1, 1) == "{") {
          const size_t end = pattern.find('}', i);
          if (end == std::string_view::npos) refuse(pattern.substr(i - 1));
          out += pattern.substr(i + 1, end - i);
          i = end;
        }
      }
      continue;
    }
    if (class_depth > 0) {
      if (c == '[') refuse("[ inside a class");
      if (c == '&' && pattern.substr(i, 2) == "&&") refuse("&&");
      if (c == ']') --class_depth;
    } else {
      if (c == '[') ++class_depth;
      if (c == '^' || c == '$') refuse(pattern.substr(i, 1));
      if (c == '}' && pattern.substr(i, 2) == "}+") refuse("}+");
    }
    out += c;
    // A ] right after the opening bracket stands for itself, in both syntaxes.
    if (c == '[' && class_depth > 0) {
      if (pattern.substr(i + 1, 1) == "^") out += pattern[++i];
      if (pattern.substr(i + 1, 1) == "]") out += "\\", out += pattern[++i];
    }
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

std::unique_ptr<pcre2_code, FreeCode> compile(std::string_view pattern, uint32_t options,
                                              const std::string& what) {
  if (pattern.size() > kMaxPatternBytes) {
    fail(ErrorCode::kCorrupt, "{}: a pattern of {} bytes, at most {} are accepted", what,
         pattern.size(), kMaxPatternBytes);
  }
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 64);
  int error = 0;
  PCRE2_SIZE offset = 0;
  std::unique_ptr<pcre2_code, FreeCode> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | options, &error, &offset, context.get()));
  if (code == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    fail(ErrorCode::kCorrupt, "{}: not a valid regular expression: {} (at byte {} of '{}')", what,
         reinterpret_cast<const char*>(message), offset, pattern);
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it the interpreter matches
  return code;
}

}  // namespace

struct RegexScratch::Impl {
  Impl()
      : data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr)) {
    if (data == nullptr || context == nullptr || stack == nullptr) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_depth_limit(context, kDepthLimit);
    pcre2_set_heap_limit(context, kHeapLimitKib);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Impl() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

RegexScratch::RegexScratch() : impl_(std::make_unique<Impl>()) {}
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch& RegexScratch::operator=(RegexScratch&&) noexcept = default;
RegexScratch::~RegexScratch() = default;

struct Regex::Impl {
  std::string what;
  std::unique_ptr<pcre2_code, FreeCode> code;
};

Regex::Regex(std::string_view pattern, std::string what) : impl_(std::make_unique<Impl>()) {
  impl_->what = std::move(what);
  impl_->code =
      compile(translate(pattern, impl_->what), PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, impl_->what);
}

Regex Regex::literal(std::string_view text, std::string what) {
  auto impl = std::make_unique<Impl>();
  impl->what = std::move(what);
  impl->code = compile(text, PCRE2_LITERAL, impl->what);
  return Regex(std::move(impl));
}

Regex::Regex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

bool Regex::find(std::string_view text, size_t start, RegexScratch& scratch, Match& match) const {
  auto& memory = *scratch.impl_;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  int rc = pcre2_match(impl_->code.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK,
                       memory.data, memory.context);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
    rc = pcre2_match(impl_->code.get(), subject, text.size(), start,
                     PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, memory.data, memory.context);
  }
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(rc, message, sizeof(message));
    fail_argument("{}: the pattern cannot split this text at byte {}: {}", impl_->what, start,
                  reinterpret_cast<const char*>(message));
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(memory.data);
  match = {bounds[0], bounds[1]};
  return true;
}

}  // namespace glmoe
