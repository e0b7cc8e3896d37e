#include "apps/bench.h"

#include <algorithm>
#include <cstdio>

#include "apps/command.h"
#include "spec/step_floor.h"

namespace glmoe::apps {

CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<int64_t>& values,
                      int64_t most, const std::string& help) {
  return command.add_option(name, values, help)
      ->delimiter(',')
      ->expected(1, 64)
      ->check(CLI::Range(int64_t{1}, most))
      ->capture_default_str();
}

double SpeedRow::floor_us(const Ceiling& ceiling) const {
  return bytes > 0.0 || flops > 0.0
             ? glmoe::floor_us(bytes, flops, ceiling.read_gb_per_s, ceiling.matrix_tflop_per_s)
             : 0.0;
}

void print_rows(const std::vector<SpeedRow>& rows, const Ceiling& ceiling, Json head, bool json) {
  head["device"] = ceiling.device;
  head["read_bandwidth_gb_per_s"] = ceiling.read_gb_per_s;
  head["matrix_tflop_per_s"] = ceiling.matrix_tflop_per_s;
  if (!json) {
    std::printf("%s: reads %.0f GB/s", ceiling.device.c_str(), ceiling.read_gb_per_s);
    if (ceiling.matrix_tflop_per_s > 0.0) {
      std::printf(", multiplies %.0f TFLOP/s", ceiling.matrix_tflop_per_s);
    }
    std::printf(" (measured in this run)\n%-36s %11s %8s %8s %11s %7s\n", "", "us", "GB/s",
                "TFLOP/s", "floor us", "share");
  }
  for (const SpeedRow& row : rows) {
    const double floor = row.floor_us(ceiling);
    const double gb_per_s = row.bytes / row.us * 1e-3;
    const double tflop_per_s = row.flops / row.us * 1e-6;
    if (json) {
      Json out = {{"name", row.name},     {"us", row.us},
                  {"bytes", row.bytes},   {"flops", row.flops},
                  {"gb_per_s", gb_per_s}, {"tflop_per_s", tflop_per_s},
                  {"floor_us", floor},    {"share_of_floor", floor / row.us}};
      out.update(row.more);
      head["rows"].push_back(std::move(out));
    } else {
      std::printf("%-36s %11.1f %8.0f %8.1f %11.1f %6.1f%%  %s\n", row.name.c_str(), row.us,
                  gb_per_s, tflop_per_s, floor, 100.0 * floor / row.us, row.note.c_str());
    }
  }
  if (json) print_json(head);
}

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "Measure speed");
  bench->require_subcommand(1);
  add_bench_latency(*bench);
  add_bench_parts(*bench);
  add_bench_serve(*bench);
  add_bench_startup(*bench);
}

}  // namespace glmoe::apps
