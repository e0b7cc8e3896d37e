#!/usr/bin/env bash
# The kernels' tests under compute-sanitizer: memcheck (addresses) and racecheck (shared memory).
#
#   tools/gpu_sanitize.sh [PROGRAM] [SECONDS]   PROGRAM: default build/bin/kernels_cuda_test
#
# The tests run with --quick: small cases of every kernel, since a sanitizer is a hundred times slower.
# racecheck leaves prefill attention out, of which it reports hazards without end: there a lane speaks for
# its warp at mbarriers (bulk_copy.cuh), and both warpgroups clear the same slots past a sequence's end. Calls of CUDA that fail are not reported: tests
# provoke one. Each tool is ended after SECONDS (default 900). Status: 0 clean, 77 no GPU, else
# something was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/bin/kernels_cuda_test}
limit=${2:-900}
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[[ -x $program ]] || { echo "gpu_sanitize: $program is not there: ./dev test --gpu builds it" >&2; exit 2; }
[[ -x $sanitizer ]] || { echo "gpu_sanitize: no compute-sanitizer: it comes with the CUDA toolkit" >&2; exit 2; }
check() { # TOOL OPTION... of the program
  local tool=$1 status=0
  shift
  echo "== $tool"
  timeout "$limit" "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 9 --print-limit 20 \
    "$program" --quick "$@" || status=$?
  ((status == 0)) || { echo "gpu_sanitize: $tool ended with status $status" >&2; exit "$status"; }
}
check memcheck
check racecheck --without=Prefill
