#include "device/cpu_info.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

namespace glmoe {
namespace {

struct IsaName {
  std::string_view flag;  // as /proc/cpuinfo spells it
  std::string_view name;  // as we do
};

constexpr IsaName kIsaNames[] = {
    {"avx", "avx"},
    {"f16c", "f16c"},
    {"fma", "fma"},
    {"avx2", "avx2"},
    {"avx_vnni", "avxvnni"},
    {"avx512f", "avx512"},
    {"avx512bw", "avx512bw"},
    {"avx512_vnni", "avx512vnni"},
    {"avx512_bf16", "avx512bf16"},
    {"avx512_fp16", "avx512fp16"},
    {"amx_tile", "amx"},
    {"amx_bf16", "amxbf16"},
    {"amx_int8", "amxint8"},
};

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

std::optional<int64_t> parse_int(std::string_view text) {
  text = trim(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// Calls visit(key, value) for each "key : value" line.
template <class Visit>
void for_each_field(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
      visit(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
    }
  }
}

std::vector<std::string> known_isa(std::string_view flags) {
  std::istringstream words{std::string(flags)};
  const std::set<std::string, std::less<>> present{std::istream_iterator<std::string>(words), {}};
  std::vector<std::string> isa;
  for (const IsaName& entry : kIsaNames) {
    if (present.contains(entry.flag)) isa.emplace_back(entry.name);
  }
  return isa;
}

int64_t kib_to_bytes(std::string_view kib) {
  const int64_t value = parse_int(kib).value_or(0);
  return value > 0 && value < (int64_t{1} << 50) ? value * 1024 : 0;
}

// Bytes of files in memory, from lines "inactive_file 4096". The line "file" also counts shared
// memory, which cannot be given up.
int64_t file_pages(std::string_view stat_text) {
  std::istringstream lines{std::string(stat_text)};
  int64_t total = 0;
  for (std::string key, value; lines >> key >> value;) {
    if (key != "inactive_file" && key != "active_file") continue;
    const int64_t bytes = parse_int(value).value_or(0);
    if (bytes > 0 && bytes < (int64_t{1} << 60)) total += bytes;
  }
  return total;
}

std::string read_text(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

bool CpuInfo::has(std::string_view isa_name) const {
  return std::find(isa.begin(), isa.end(), isa_name) != isa.end();
}

CpuInfo parse_cpu_info(std::string_view cpuinfo, std::string_view meminfo) {
  CpuInfo info;
  info.name = "unknown";
  int num_threads = 0;
  int64_t socket = 0;
  std::set<std::pair<int64_t, int64_t>> cores;
  for_each_field(cpuinfo, [&](std::string_view key, std::string_view value) {
    if (key == "processor") ++num_threads;
    if (key == "model name") info.name = value;
    if (key == "physical id") socket = parse_int(value).value_or(0);
    if (key == "core id") cores.emplace(socket, parse_int(value).value_or(0));
    if (key == "flags" && info.isa.empty()) info.isa = known_isa(value);
  });
  // Some virtual machines name no cores: then each hardware thread counts as one.
  info.physical_cores = std::max(1, cores.empty() ? num_threads : static_cast<int>(cores.size()));
  for_each_field(meminfo, [&](std::string_view key, std::string_view value) {
    if (key == "MemTotal") info.memory_bytes = kib_to_bytes(value);
    if (key == "MemAvailable") info.available_bytes = kib_to_bytes(value);
  });
  return info;
}

void apply_memory_limit(std::string_view max_text, std::string_view current_text,
                        std::string_view stat_text, CpuInfo& info) {
  const std::optional<int64_t> limit = parse_int(max_text);  // none for "max" and a missing file
  if (!limit || *limit < 0) return;
  const int64_t reclaimable = file_pages(stat_text);
  const int64_t used = std::max<int64_t>(0, parse_int(current_text).value_or(0) - reclaimable);
  info.memory_bytes = std::min(info.memory_bytes, *limit);
  info.available_bytes = std::min(info.available_bytes, std::max<int64_t>(0, *limit - used));
}

CpuInfo cpu_info() {
  CpuInfo info = parse_cpu_info(read_text("/proc/cpuinfo"), read_text("/proc/meminfo"));
  apply_memory_limit(read_text("/sys/fs/cgroup/memory.max"),
                     read_text("/sys/fs/cgroup/memory.current"),
                     read_text("/sys/fs/cgroup/memory.stat"), info);
  return info;
}

}  // namespace glmoe
