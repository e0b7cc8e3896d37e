#!/usr/bin/env bash
# Makes build/torch-venv: what build/py-venv has (python_venv.sh), with PyTorch and transformers 5,
# for tests/python/test_torch*.py and bench/python. PyPI's PyTorch brings CUDA's libraries along:
# some 3 GB to fetch, 7 GB on disk. Quick where it is there. `./dev setup torch` calls it;
# docs/torch.md says how the tests are run with it.
#
#   tools/setup/torch_venv.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=build/torch-venv
packages="torch==2.11.0 transformers==5.17.0 accelerate"
stamp=$folder/torch-packages.txt

tools/setup/python_venv.sh "$folder"
if [[ -f $stamp && $(<"$stamp") == "$packages" ]]; then exit 0; fi
read -ra list <<<"$packages"
"$folder/bin/pip" install --quiet --disable-pip-version-check "${list[@]}" || {
  echo "torch_venv.sh: $packages could not be fetched from PyPI: is there a network?" >&2
  exit 1
}
echo "$packages" >"$stamp"
