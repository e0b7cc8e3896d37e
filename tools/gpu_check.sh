#!/usr/bin/env bash
# Builds the GPU tests and benches with nvcc alone and runs them: for a machine that has a Hopper
# GPU and the CUDA toolkit, but none of the project's libraries.
#
#   tools/gpu_check.sh [--build] [FOLDER]     --build: build only. FOLDER: default build/gpu-check
#
# The headers of CUTLASS come from PyPI (tools/setup/cutlass.sh), or from $GLMOE_CUTLASS_DIR/include.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=true
if [[ ${1:-} == --build ]]; then run=false; shift; fi
folder=${1:-build/gpu-check}
nvcc=${CUDACXX:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
cutlass=${GLMOE_CUTLASS_DIR:-$(tools/setup/cutlass.sh)}
flags=(-std=c++20 -O3 -gencode "arch=compute_90a,code=sm_90a" -Isrc -Iinclude -Itests/kernels/cuda
  -isystem "$cutlass/include" -DGLMOE_WITH_CUDA -Xcompiler "-Wall,-Wextra")
mkdir -p "$folder"

# One object a source, as many at a time as there are processors.
mapfile -t sources < <(find src/kernels/cuda tests/kernels/cuda bench/kernels/cuda -name '*.cu')
sources+=(src/device/gpu_info.cc)
object() { echo "$folder/$(tr '/.' '__' <<<"$1").o"; }
export -f object
export folder
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} bash -c \
  '"$@" -c {} -o "$(object {})"' _ "$nvcc" "${flags[@]}"

common=()
tests=()
for source in "${sources[@]}"; do
  case $source in
    src/*) common+=("$(object "$source")") ;;
    tests/*) tests+=("$(object "$source")") ;;
  esac
done
"$nvcc" -o "$folder/kernels_cuda_test" "${tests[@]}" "${common[@]}" -lcublasLt
benches=()
for source in "${sources[@]}"; do
  [[ $source == bench/* ]] || continue
  benches+=("$folder/$(basename "$source" .cu)")
  "$nvcc" -o "${benches[-1]}" "$(object "$source")" "${common[@]}" -lcublasLt
done

[[ $run == true ]] || exit 0
status=0
"$folder/kernels_cuda_test" || status=$?
for bench in "${benches[@]}"; do "$bench"; done
exit "$status"
