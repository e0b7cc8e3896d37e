#!/usr/bin/env python3
"""Checks sizes of files, that tests mirror sources, and that every room has its README.

    check_sizes.py [ROOT]

A source file above 400 lines (700 under src/kernels/) is named; above 700 (1000) it fails.
tests/a/b_test.cc needs src/a/b.* or include/glmoe/b.h. A test of something wider says so near its
top: `// Mirrors: src/a/x.cc, src/a/y.cc` (which must exist), or `// Mirrors: no one file, because
...` (`#` in Python). Every src/<room> with sources has a README.md of at most 30 lines.
"""
import pathlib
import re
import sys

SOURCES = (".cc", ".h", ".cu", ".cuh", ".py")
FOLDERS = ("src", "include", "apps", "tests", "bench", "examples", "python", "tools")
LOOK_AGAIN, LIMIT = 400, 700
KERNEL_LOOK_AGAIN, KERNEL_LIMIT = 700, 1000
README_LIMIT = 30
# Where a `// Mirrors:` line may stand.
HEAD_LINES = 20


def line_count(file):
    return len(file.read_text(encoding="utf-8").splitlines())


def source_files(root):
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in SOURCES and file.is_file():
                yield file


def check_sizes(root):
    """(warnings, errors) about the length of source files."""
    warnings, errors = [], []
    for file in source_files(root):
        name = file.relative_to(root).as_posix()
        kernel = name.startswith("src/kernels/")
        soft, hard = (KERNEL_LOOK_AGAIN, KERNEL_LIMIT) if kernel else (LOOK_AGAIN, LIMIT)
        lines = line_count(file)
        if lines > hard:
            errors.append(f"{name}: {lines} lines, at most {hard}: divide it")
        elif lines > soft:
            warnings.append(f"{name}: {lines} lines, look again above {soft}")
    return warnings, errors


def mirrors_line(file):
    """What the `// Mirrors:` comment (it may run over several lines) says, or None."""
    head = "\n".join(file.read_text(encoding="utf-8").splitlines()[:HEAD_LINES])
    match = re.search(r"^(?://|#) Mirrors: ((?:.*\n?)(?:(?://|#) .*\n?)*)", head, re.MULTILINE)
    return match.group(1) if match else None


def check_mirrors(root):
    errors = []
    for file in sorted((root / "tests").rglob("*_test.*")):
        if file.suffix not in (".cc", ".cu", ".py"):
            continue
        name = file.relative_to(root).as_posix()
        stem = file.stem.removesuffix("_test")
        folder = file.relative_to(root / "tests").parent
        if folder.parts[:1] == ("tools",):
            beside = root / "tools" / folder.relative_to("tools")
        elif folder.parts[:1] == ("apps",):
            beside = root / folder
        else:
            beside = root / "src" / folder
        if list(beside.glob(f"{stem}.*")) or (root / "include/glmoe" / f"{stem}.h").is_file():
            continue
        said = mirrors_line(file)
        if said is None:
            wanted = (beside / f"{stem}.*").relative_to(root).as_posix()
            errors.append(f'{name}: there is no {wanted}, and no "// Mirrors: ..." line')
            continue
        for path in re.findall(r"\b(?:src|include|apps|tools)/[\w./*-]*\w", said):
            if not list(root.glob(path)):
                errors.append(f"{name}: mirrors {path}, which does not exist")
    return errors


def check_readmes(root):
    errors = []
    for room in sorted(p for p in (root / "src").iterdir() if p.is_dir()):
        if not any(f.suffix in SOURCES for f in room.rglob("*")):
            continue
        readme = room / "README.md"
        name = readme.relative_to(root).as_posix()
        if not readme.is_file():
            errors.append(f"{name}: missing: say why the room exists, what comes in, what goes out")
        elif line_count(readme) > README_LIMIT:
            errors.append(f"{name}: {line_count(readme)} lines, at most {README_LIMIT}")
    return errors


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    root = root.resolve()
    warnings, errors = check_sizes(root)
    errors += check_mirrors(root) + check_readmes(root)
    for warning in warnings:
        print(f"note: {warning}")
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
