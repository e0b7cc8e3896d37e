#!/usr/bin/env bash
# Puts the headers of CUTLASS (BSD-3-Clause) into FOLDER, default build/deps/cutlass-VERSION, and
# prints that folder. No Debian package has them; PyPI has, in the wheel nvidia-cutlass, taken by
# pip or, where there is none, by curl, and checked against the hash below. Quick where they are.
#
#   tools/setup/cutlass.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=4.2.0.0
sha256=f9599ada45c7bcb6bf53f7d3f0a7d154183e53451c01bfa59eecd37dd4a693f6
wheel=nvidia_cutlass-$version-py3-none-any.whl
folder=${1:-build/deps/cutlass-$version}
die() { printf 'cutlass.sh: %s\n' "$*" >&2; exit 1; }

if [[ -f $folder/include/cutlass/version.h ]]; then
  echo "$folder"
  exit 0
fi
command -v python3 >/dev/null || die "python3 is missing: ./dev setup build installs it"

mkdir -p "$(dirname "$folder")"
aside=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$aside"' EXIT
download() {
  if python3 -m pip --version >/dev/null 2>&1; then
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
      --require-hashes -d "$aside" -r /dev/stdin \
      <<<"nvidia-cutlass==$version --hash=sha256:$sha256" >&2
  elif command -v curl >/dev/null; then
    # PyPI's own list says where the file lies.
    local url
    url=$(curl -fsSL "https://pypi.org/pypi/nvidia-cutlass/$version/json" | python3 -c '
import json, sys
print(next(f["url"] for f in json.load(sys.stdin)["urls"] if f["filename"] == sys.argv[1]))
' "$wheel")
    curl -fsSL -o "$aside/$wheel" "$url"
  else
    die "neither pip nor curl is here to fetch nvidia-cutlass $version from PyPI: install one"
  fi
}
download || die "nvidia-cutlass $version could not be fetched from PyPI (see above): is there a
  network, and may it reach pypi.org? Or put the wheel's headers into $folder/include yourself"
sha256sum --quiet -c <<<"$sha256  $aside/$wheel" >&2 ||
  die "$wheel is not the file that was expected (sha256 above): nothing was installed"

# Headers and licence only, then one rename: half a folder is never taken for the whole.
python3 - "$aside" "$aside/$wheel" <<'PYTHON'
import pathlib, sys, zipfile
to = pathlib.Path(sys.argv[1]) / "headers"
with zipfile.ZipFile(sys.argv[2]) as wheel:
    for name in wheel.namelist():
        inside = name.partition("/source/include/")[2]
        if inside and not name.endswith("/"):
            target = to / "include" / inside
        elif "LICENSE" in name:
            target = to / pathlib.PurePath(name).name
        else:
            continue
        if not target.resolve().is_relative_to(to.resolve()):
            sys.exit(f"cutlass.sh: {name} would be written outside of the folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(name))
PYTHON
[[ -f $aside/headers/include/cutlass/version.h ]] || die "$wheel has no headers in it"
rm -rf "$folder"
mv -T "$aside/headers" "$folder"
echo "$folder"
