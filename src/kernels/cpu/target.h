// Which instruction set the CPU kernels use: the best that the machine has, at most
// GLMOE_CPU_TARGET. Asking for it the first time also limits Highway's run-time dispatch.
#pragma once

#include <cstdint>
#include <vector>

namespace glmoe {

// kBaseline is SSE4 where the machine has it, else plain C++.
enum class CpuTarget : uint8_t { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };

// The target in use; cheap after the first call. Whatever dispatches through Highway calls it
// first. Throws kInvalidArgument where GLMOE_CPU_TARGET names no target; a target that the machine
// lacks gives the best one below it, with a warning.
CpuTarget cpu_target();
// "baseline", "avx2", "avx512" or "avx512bf16".
const char* cpu_target_name(CpuTarget target);
const char* cpu_target_name();
// Everything that the machine can run, whatever the environment says; kBaseline first.
std::vector<CpuTarget> supported_cpu_targets();

}  // namespace glmoe
