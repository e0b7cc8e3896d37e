#!/usr/bin/env python3
"""Checks the documents: every local link leads somewhere, and no text speaks of one machine.

    check_docs.py [ROOT]

Links in *.md files must name a file or folder of the project, and an anchor in it a heading. No
source, script or document may name a place on somebody's machine or a number in a tracker:
whoever reads the project can follow neither.
"""
import os
import pathlib
import re
import sys

TEXTS = {".md", ".cc", ".h", ".cu", ".cuh", ".py", ".txt", ".cmake", ".sh", ".json", ".yml", ""}
SKIPPED = {".git", "build", "demo-out", "glm4-moe-demo", "data", ".venv", "corpus", "__pycache__"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Each is (what it is, pattern); the patterns are spelled so that they do not match themselves.
FOREIGN = (
    ("a path of one machine", re.compile(r"(?<![\w.])/(?:work|root)/\w")),
    ("a folder outside the project", re.compile(r"(?<![\w/.])\.\./(?:shared|reference)\b")),
    ("the number of an issue", re.compile(r"\b[Ii]ssue[ ]#?\d+\b")),
)
MAX_BYTES = 1 << 20


def text_files(root):
    for folder, folders, files in os.walk(root):
        top = pathlib.Path(folder) == root
        folders[:] = sorted(f for f in folders
                            if f not in SKIPPED and not (top and f.startswith("build-")))
        for name in sorted(files):
            file = pathlib.Path(folder, name)
            if name not in SKIPPED and file.suffix in TEXTS and file.is_file() \
                    and file.stat().st_size <= MAX_BYTES:
                yield file


def without_code(text):
    """Markdown with fenced blocks blanked, so that line numbers stay."""
    blank = lambda match: "\n" * match.group(0).count("\n")
    return re.sub(r"^```.*?^```", blank, text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """The anchors that a page's headings get: lower case, punctuation dropped, spaces to hyphens."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", without_code(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(slug)
    return found


def check_links(root, file):
    errors = []
    text = without_code(file.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        link = match.group(1)
        if re.match(r"[a-z]+:", link):
            continue
        where = f"{file.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}"
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if root not in (target, *target.parents) or not target.exists():
            errors.append(f"{where}: link to {link}: no such file in the project")
        elif anchor and target.suffix == ".md" \
                and anchor not in anchors(target.read_text(encoding="utf-8")):
            errors.append(f"{where}: link to {link}: no such heading")
    return errors


def check_foreign(root, file):
    errors = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return errors
    for number, line in enumerate(lines, 1):
        for what, pattern in FOREIGN:
            found = pattern.search(line)
            if found:
                errors.append(f"{file.relative_to(root)}:{number}: names {what}: {found.group(0)}")
    return errors


def check(root):
    errors = []
    for file in text_files(root):
        errors += check_foreign(root, file)
        if file.suffix == ".md":
            errors += check_links(root, file)
    return errors


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    errors = check(root.resolve())
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
