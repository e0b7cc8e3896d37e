// What a load's measurement says, as JSON and as a table.
#pragma once

#include <string>

#include "base/json.h"
#include "serve/load/runner.h"

namespace glmoe::serve {

struct LoadReport {
  LoadSummary summary;
  Distribution loop_lag_ms;
  double cpu_share = 0.0;
  bool interrupted = false;
  std::string prompts;
  LoadOptions options;
  Goodput goodput;
};

LoadReport make_report(const LoadOutcome& outcome, const LoadOptions& options,
                       const Goodput& goodput);

Json report_json(const LoadReport& report);
std::string report_table(const LoadReport& report);
// Not empty: why the numbers are not to be trusted.
std::string client_warning(const LoadReport& report);
Json record_json(const LoadRecord& record);

}  // namespace glmoe::serve
