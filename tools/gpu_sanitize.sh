#!/usr/bin/env bash
# The kernels' tests under compute-sanitizer: memcheck (addresses) and racecheck (shared memory).
#
#   tools/gpu_sanitize.sh [PROGRAM] [SECONDS]   PROGRAM: default build/bin/kernels_cuda_test
#
# Each tool is ended after SECONDS (default 900). Status: 0 clean, 77 no GPU, else something was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/bin/kernels_cuda_test}
limit=${2:-900}
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[[ -x $program ]] || { echo "gpu_sanitize: $program is not there: ./dev test --gpu builds it" >&2; exit 2; }
[[ -x $sanitizer ]] || { echo "gpu_sanitize: no compute-sanitizer: it comes with the CUDA toolkit" >&2; exit 2; }
for tool in memcheck racecheck; do
  echo "== $tool"
  status=0
  timeout "$limit" "$sanitizer" --tool "$tool" --error-exitcode 9 --print-limit 20 "$program" || status=$?
  ((status == 0)) || { echo "gpu_sanitize: $tool ended with status $status" >&2; exit "$status"; }
done
