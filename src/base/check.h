// Invariants: a failed check is our own mistake, thrown as kInternal with both values and the
// place. Never reachable from user input; user input is answered with fail_argument and its kin.
#pragma once

#include "base/error.h"

#define GLMOE_CHECK(condition, ...)                                                       \
  do {                                                                                    \
    if (!(condition)) [[unlikely]] {                                                      \
      ::glmoe::fail(::glmoe::ErrorCode::kInternal, "{}:{}: check failed: {}{}", __FILE__, \
                    __LINE__, #condition, ::glmoe::internal::check_note(__VA_ARGS__));    \
    }                                                                                     \
  } while (false)

#define GLMOE_CHECK_OP(op, a, b, ...)                                                            \
  do {                                                                                           \
    const auto& glmoe_check_a = (a);                                                             \
    const auto& glmoe_check_b = (b);                                                             \
    if (!(glmoe_check_a op glmoe_check_b)) [[unlikely]] {                                        \
      ::glmoe::fail(::glmoe::ErrorCode::kInternal, "{}:{}: check failed: {} {} {} ({} vs {}){}", \
                    __FILE__, __LINE__, #a, #op, #b, glmoe_check_a, glmoe_check_b,               \
                    ::glmoe::internal::check_note(__VA_ARGS__));                                 \
    }                                                                                            \
  } while (false)

#define GLMOE_CHECK_EQ(a, b, ...) GLMOE_CHECK_OP(==, a, b, __VA_ARGS__)
#define GLMOE_CHECK_LE(a, b, ...) GLMOE_CHECK_OP(<=, a, b, __VA_ARGS__)
#define GLMOE_CHECK_LT(a, b, ...) GLMOE_CHECK_OP(<, a, b, __VA_ARGS__)
#define GLMOE_CHECK_GE(a, b, ...) GLMOE_CHECK_OP(>=, a, b, __VA_ARGS__)
#define GLMOE_CHECK_GT(a, b, ...) GLMOE_CHECK_OP(>, a, b, __VA_ARGS__)

namespace glmoe::internal {

inline std::string check_note() { return {}; }
template <class... Args>
std::string check_note(fmt::format_string<Args...> format, Args&&... args) {
  return ": " + fmt::format(format, std::forward<Args>(args)...);
}

}  // namespace glmoe::internal
