#!/usr/bin/env bash
# The kernels' tests under compute-sanitizer: memcheck (addresses) and racecheck (shared memory).
#
#   tools/gpu_sanitize.sh [PROGRAM] [SECONDS] [FOLDER]
#
# PROGRAM: default build/bin/kernels_cuda_test. Each file of tests is a run of its own, several at a
# time (JOBS, default half the cores, at most 8), with --quick: small cases of every kernel, since a
# sanitizer is a hundred times slower. A run is ended after SECONDS (default 300) and counts as failed;
# what it printed is FOLDER/TOOL-FILE.txt (default: a new folder).
#
# racecheck passes one kernel over, attention_prefill_wgmma: it takes an arrival at an mbarrier for that
# of one lane, where there it is the warp's (docs/kernels/cuda-attention-prefill.md, Races). Calls of CUDA
# that fail are not reported: tests provoke one. Status: 0 clean, 77 no GPU, else something was found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${1:-build/bin/kernels_cuda_test}
limit=${2:-300}
folder=${3:-$(mktemp -d)}
cores=$(nproc)
jobs=${JOBS:-$((cores >= 16 ? 8 : (cores + 1) / 2))}
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[[ -x $program ]] || { echo "gpu_sanitize: $program is not there: ./dev test --gpu builds it" >&2; exit 2; }
[[ -x $sanitizer ]] || { echo "gpu_sanitize: no compute-sanitizer: it comes with the CUDA toolkit" >&2; exit 2; }
mkdir -p "$folder"
status=0
"$program" "no test has this name" > "$folder/gpu.txt" || status=$?
if ((status == 77)); then
  cat "$folder/gpu.txt"
  exit 77
fi

check() { # TOOL FILE: leaves its status in FOLDER/TOOL-FILE.status
  local tool=$1 file=$2 start=$SECONDS status=0 options=() quick=--quick
  [[ $tool == racecheck ]] && quick=--quick=4e5 options=(--kernel-name-exclude kns=attention_prefill_wgmma --racecheck-num-workers 2)
  timeout "$limit" "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 9 --print-limit 20 \
    --launch-timeout 60 "${options[@]}" "$program" "$quick" "$file" > "$folder/$tool-$file.txt" 2>&1 || status=$?
  # Warnings, as of races within a warp, leave the tool's status 0.
  ((status == 0)) && grep -q "Race reported" "$folder/$tool-$file.txt" && status=9
  case $status in
    0) echo "$tool $file: clean, $((SECONDS - start)) s" ;;
    124) echo "$tool $file: not done after $limit s; last: $(tail -n 1 "$folder/$tool-$file.txt")" ;;
    *) echo "$tool $file: status $status after $((SECONDS - start)) s, see $folder/$tool-$file.txt" ;;
  esac
  echo "$status" > "$folder/$tool-$file.status"
}

# The largest files first: they take longest.
mapfile -t files < <(ls -S tests/kernels/cuda/*/*_test.cu)
((${#files[@]} > 0)) || { echo "gpu_sanitize: no files of tests in tests/kernels/cuda" >&2; exit 2; }
for tool in racecheck memcheck; do
  for file in "${files[@]}"; do
    while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
    check "$tool" "$(basename "$file" .cu)" &
  done
done
wait
clean=$(cat "$folder"/*.status | grep -cx 0 || true)
echo "$clean of $((2 * ${#files[@]})) runs clean; all output: $folder"
((clean == 2 * ${#files[@]}))
