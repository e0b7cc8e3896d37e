#!/usr/bin/env bash
# Makes the virtual environment FOLDER, default build/py-venv, in which the Python package is built
# and tested, from the pinned list tests/python/requirements.txt (each file's hash is checked).
# Quick where it is up to date.
#
#   tools/setup/python_venv.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${1:-build/py-venv}
list=tests/python/requirements.txt
stamp=$folder/requirements.txt
die() { printf 'python_venv.sh: %s\n' "$*" >&2; exit 1; }

if cmp -s "$list" "$stamp"; then exit 0; fi
# Debian's own Python: the one whose headers the package python3-dev brings.
python=/usr/bin/python3
[[ -x $python ]] || python=$(command -v python3) || die "python3 is missing"
[[ -x $folder/bin/python ]] || "$python" -m venv "$folder" ||
  die "$python -m venv does not work here (Debian: python3-venv)"
"$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$list" ||
  die "the packages of $list could not be fetched from PyPI: is there a network?"
cp "$list" "$stamp"
