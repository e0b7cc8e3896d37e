#include "kernels/cpu/target.h"

#include <hwy/highway.h>

#if HWY_ARCH_X86
#include <cpuid.h>
#endif

#include <string>

#include "base/env.h"
#include "base/error.h"
#include "base/log.h"

namespace glmoe {
namespace {

constexpr CpuTarget kAll[] = {CpuTarget::kBaseline, CpuTarget::kAvx2, CpuTarget::kAvx512,
                              CpuTarget::kAvx512Bf16};

#if HWY_ARCH_X86
// By hand, since clang 14's __builtin_cpu_supports does not know the name. Whether the system saves
// the registers it needs is what asking for avx2 tells.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool machine_has(CpuTarget target) {
#if HWY_ARCH_X86
  // Asked of the compiler's run-time library: Highway's answer changes once targets are disabled.
  switch (target) {
    case CpuTarget::kBaseline: return true;
    case CpuTarget::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2") && has_f16c();
    case CpuTarget::kAvx512:
      return machine_has(CpuTarget::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    case CpuTarget::kAvx512Bf16:
      return machine_has(CpuTarget::kAvx512) && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return target == CpuTarget::kBaseline;
#endif
}

CpuTarget wanted_target() {
  const std::string& name = env::get().cpu_target;
  if (name.empty()) return CpuTarget::kAvx512Bf16;
  for (const CpuTarget target : kAll) {
    if (name == cpu_target_name(target)) return target;
  }
  fail_argument(
      "environment variable GLMOE_CPU_TARGET='{}': baseline, avx2, avx512 or avx512bf16 was wanted",
      name);
}

CpuTarget choose_target() {
  const CpuTarget wanted = wanted_target();
  CpuTarget chosen = CpuTarget::kBaseline;
  for (const CpuTarget target : supported_cpu_targets()) {
    if (target <= wanted) chosen = target;
  }
  if (chosen != wanted && !env::get().cpu_target.empty()) {
    log::warn("GLMOE_CPU_TARGET={}: this machine has no such instructions, {} is used",
              cpu_target_name(wanted), cpu_target_name(chosen));
  }
#if HWY_ARCH_X86
  int64_t disabled = 0;
  if (chosen < CpuTarget::kAvx512) disabled |= HWY_AVX3 | HWY_AVX3_DL;
  if (chosen < CpuTarget::kAvx2) disabled |= HWY_AVX2;
  hwy::DisableTargets(disabled);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
#endif
  return chosen;
}

}  // namespace

CpuTarget cpu_target() {
  static const CpuTarget target = choose_target();
  return target;
}

const char* cpu_target_name(CpuTarget target) {
  switch (target) {
    case CpuTarget::kBaseline: return "baseline";
    case CpuTarget::kAvx2: return "avx2";
    case CpuTarget::kAvx512: return "avx512";
    case CpuTarget::kAvx512Bf16: return "avx512bf16";
  }
  return "unknown";
}

const char* cpu_target_name() { return cpu_target_name(cpu_target()); }

std::vector<CpuTarget> supported_cpu_targets() {
  std::vector<CpuTarget> targets;
  for (const CpuTarget target : kAll) {
    if (machine_has(target)) targets.push_back(target);
  }
  return targets;
}

}  // namespace glmoe
