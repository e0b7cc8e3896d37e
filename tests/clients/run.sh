#!/usr/bin/env bash
# run.sh FILE...: runs tests of this folder with the official Python clients, which are installed
# once into GLMOE_CLIENTS_VENV (default: build/clients-venv). Where they cannot be fetched it says so
# and ends with status 77, which CTest shows as skipped.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${GLMOE_CLIENTS_VENV:-$here/../../build/clients-venv}
stamp=$venv/requirements.txt

skip() { echo "skipped: $*"; exit 77; }

if ! cmp -s "$here/requirements.txt" "$stamp"; then
  python3 -m venv "$venv" || skip "python3 -m venv does not work here (Debian: python3-venv)"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --timeout 15 --retries 1 \
    -r "$here/requirements.txt" || skip "the official clients could not be fetched from PyPI"
  cp "$here/requirements.txt" "$stamp"
fi
for file in "$@"; do "$venv/bin/python" "$here/$file"; done
