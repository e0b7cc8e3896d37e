// What the sub-commands of `glmoe bench` share: their registration, and tables of times beside what
// the machine could do.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "glmoe/config.h"
#include "tensor/dtype.h"

namespace glmoe::apps {

// Each adds its sub-command to `bench`.
void add_bench_latency(CLI::App& bench);
void add_bench_startup(CLI::App& bench);
void add_bench_serve(CLI::App& bench);
void add_bench_parts(CLI::App& bench);  // moe, attention, gemm

// --name 1,8,32: numbers of 1 to `most`.
CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<int64_t>& values,
                      int64_t most, const std::string& help);

// What the machine does at best, measured in the same run; 0: not measured.
struct Ceiling {
  std::string device;
  double read_gb_per_s = 0.0;
  double matrix_tflop_per_s = 0.0;
};

// A row of a bench's table.
struct SpeedRow {
  std::string name;
  double us = 0.0;
  double bytes = 0.0;  // that it must read at least; 0: not known
  double flops = 0.0;
  std::string note;
  Json more = Json::object();  // further fields of the row's JSON

  double floor_us(const Ceiling& ceiling) const;
};

// One row a line: us, GB/s, TFLOP/s, floor and share of it; or one JSON object with `head`'s
// fields.
void print_rows(const std::vector<SpeedRow>& rows, const Ceiling& ceiling, Json head, bool json);

}  // namespace glmoe::apps
