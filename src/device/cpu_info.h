// What the host's processor and memory are: for logs, for choosing sizes, and for saying why a
// kernel was or was not taken. Reads /proc and the control group's files; Linux only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace glmoe {

struct CpuInfo {
  std::string name;              // "unknown" where the system does not say
  int physical_cores = 1;        // cores, not hardware threads; at least 1
  int64_t memory_bytes = 0;      // of the machine or of the control group, whichever is less
  int64_t available_bytes = 0;   // what can still be taken without swapping, within that limit
  std::vector<std::string> isa;  // avx avx2 avx512 avx512bf16 amx ...: the table is in cpu_info.cc
  bool has(std::string_view isa_name) const;
};

// Never throws: what cannot be read keeps its default.
CpuInfo cpu_info();

// The same from the texts of /proc/cpuinfo and /proc/meminfo, without the control group.
CpuInfo parse_cpu_info(std::string_view cpuinfo, std::string_view meminfo);

// Lowers the memory fields to a control group's limit. The texts are the contents of memory.max
// ("max" or bytes), memory.current and memory.stat; file pages that the group has in memory count
// as available, since they are given up before anything fails.
void apply_memory_limit(std::string_view max_text, std::string_view current_text,
                        std::string_view stat_text, CpuInfo& info);

}  // namespace glmoe
