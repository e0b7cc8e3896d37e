#!/usr/bin/env python3
"""Checks every #include against the table "Who may include whom" of docs/architecture.md.

    check_layers.py [ROOT]

Fails on: a room that includes a room or an outside library that the table does not give it, a
table with a room that may include its own level or a higher one, a cycle, an include that is
relative or does not resolve, a source file whose own header is not its first include, a public
header that is not self-contained, and a src/CMakeLists.txt that disagrees with the table.
"""
import fnmatch
import pathlib
import re
import sys
from dataclasses import dataclass, field

SOURCES = (".cc", ".h", ".cu", ".cuh")
FOLDERS = ("src", "include", "apps", "tests", "bench", "examples", "python")
TEST_LIBRARIES = {"gtest", "gmock", "benchmark"}
SYSTEM_FOLDERS = {"sys", "linux", "netinet", "arpa", "net", "bits"}
# Who may include the public entry itself; the other public headers are plain values for all.
LLM_HEADER = "glmoe/llm.h"
LLM_HEADER_USERS = {"llm", "apps", "serve", "python", "tests", "examples", "bench"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


@dataclass
class Rule:
    level: int
    rooms: set
    libraries: set
    # File name -> further rooms for that file alone.
    exceptions: dict = field(default_factory=dict)


def names(cell):
    return {n.strip().strip("`") for n in cell.split(",") if n.strip() not in ("", "–", "-")}


def parse_table(text):
    """The rows `| level | rooms | may include; `file`: more | libraries |` as room -> Rule."""
    section = re.search(r"^## [^\n]*Who may include whom\n(.*?)(?=^## |\Z)", text,
                        re.MULTILINE | re.DOTALL)
    if not section:
        raise ValueError('no section "Who may include whom"')
    rules = {}
    for line in section.group(1).splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or not cells[0].isdigit():
            continue
        if len(cells) != 4:
            raise ValueError(f"a row of the table has {len(cells)} cells, wanted 4: {line}")
        allowed, *special = cells[2].split(";")
        exceptions = {}
        for entry in special:
            file, _, rooms = entry.partition(":")
            exceptions[file.strip().strip("`")] = names(rooms)
        for room in names(cells[1]):
            rules[room] = Rule(int(cells[0]), names(allowed), names(cells[3]), exceptions)
    if not rules:
        raise ValueError("the table has no rows")
    return rules


def check_rules(rules):
    """The table itself: every name known, every arrow down. So no cycle can be allowed by it."""
    errors = []
    for room, rule in rules.items():
        for other in sorted(rule.rooms.union(*rule.exceptions.values())):
            if other not in rules:
                errors.append(f"docs/architecture.md: {room} may include unknown room {other}")
            elif rules[other].level >= rule.level:
                errors.append(f"docs/architecture.md: {room} (level {rule.level}) may not be given "
                              f"{other} (level {rules[other].level})")
    return errors


def library_name(include):
    """fmt/format.h -> fmt; pcre2.h -> pcre2; None for the standard library and the system's."""
    first, _, rest = include.partition("/")
    if rest:
        return None if first in SYSTEM_FOLDERS else first
    return first.removesuffix(".hpp").removesuffix(".h") if "." in first else None


class Checker:
    def __init__(self, root, rules):
        self.root = root
        self.rules = rules
        self.errors = []
        self.edges = {}  # (room, room) -> the file that has it
        everywhere = rules["base"].libraries if "base" in rules else set()
        self.known_libraries = set().union(*(r.libraries for r in rules.values()))
        self.allowed_libraries = {room: r.libraries | everywhere for room, r in rules.items()}

    def fail(self, file, line, message):
        self.errors.append(f"{file.relative_to(self.root)}:{line}: {message}")

    def room_of(self, file):
        """src/<room>/..., or the top folder for everything else ("public" for include/)."""
        parts = file.relative_to(self.root).parts
        if parts[0] == "src":
            return parts[1] if len(parts) > 2 else "src"
        return "public" if parts[0] == "include" else parts[0]

    def resolve(self, file, include):
        """The file that a rooted include names, or None."""
        roots = [self.root / "src", self.root / "include"]
        top = file.relative_to(self.root).parts[0]
        if top in ("tests", "bench"):
            # The GPU tests are one program with its own include folder.
            roots += [self.root / top, self.root / "tests/kernels/cuda",
                      self.root / "bench/kernels/cuda"]
        if top in ("apps", "bench", "python"):
            roots.append(self.root)
        for base in roots:
            if (base / include).is_file():
                return base / include
        return None

    def own_header(self, file):
        """The rooted spelling of the header that belongs to a source file, or None."""
        if file.suffix not in (".cc", ".cu"):
            return None
        relative = file.relative_to(self.root)
        if relative.parts[0] == "src":
            for suffix in (".h", ".cuh"):
                if file.with_suffix(suffix).is_file():
                    return pathlib.Path(*relative.parts[1:]).with_suffix(suffix).as_posix()
            if (self.root / "include/glmoe" / f"{file.stem}.h").is_file():
                return f"glmoe/{file.stem}.h"
        return None

    def check_file(self, file):
        text = file.read_text(encoding="utf-8")
        own = self.own_header(file)
        room = self.room_of(file)
        first = True
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            include = match.group(2)
            if first and own and include != own:
                self.fail(file, line, f'the first include must be the file\'s own header "{own}"')
            first = False
            if include.startswith(".") or "/../" in include or "\\" in include:
                self.fail(file, line, f'relative include "{include}": write it from src/ or include/')
                continue
            rooted = match.group(1) == '"' or include.startswith("glmoe/")
            target = self.resolve(file, include) if rooted else None
            if target is not None:
                self.check_arrow(file, line, room, include, target)
            else:
                self.check_library(file, line, room, match.group(1), include)

    def check_arrow(self, file, line, room, include, target):
        other = self.room_of(target)
        if other == "public":
            if include == LLM_HEADER and room not in LLM_HEADER_USERS | {"public"}:
                self.fail(file, line, f"{room} may not include {LLM_HEADER}: only "
                                      f"{', '.join(sorted(LLM_HEADER_USERS))} may")
            return
        if room == "public":
            self.fail(file, line, f'a public header may not include "{include}"')
        elif room == "examples":
            self.fail(file, line, f'an example may only include glmoe/*, not "{include}"')
        elif room in ("tests", "bench") or room == other:
            return
        elif room not in self.rules:
            self.fail(file, line, f"room {room} is not in the table of docs/architecture.md")
        else:
            rule = self.rules[room]
            self.edges.setdefault((room, other), file)
            if other not in rule.rooms and other not in rule.exceptions.get(file.name, ()):
                self.fail(file, line, f'{room} may not include {other} ("{include}"); it may '
                                      f"include {', '.join(sorted(rule.rooms)) or 'no room'}")

    def check_library(self, file, line, room, bracket, include):
        library = library_name(include)
        allowed = self.allowed_libraries.get(room, set())
        if room in ("tests", "bench"):
            allowed = self.known_libraries | TEST_LIBRARIES
        listed = lambda patterns: library and any(fnmatch.fnmatch(library, p) for p in patterns)
        if listed(allowed):
            return
        known = listed(self.known_libraries | TEST_LIBRARIES)
        if bracket == '"' and not known:
            self.fail(file, line, f'"{include}" does not resolve from src/ or include/')
        elif known or (library and "/" in include):
            self.fail(file, line, f"{room} may not use the library {library} (<{include}>)")

    def check_cycles(self):
        """Depth-first search over the arrows that the files really have."""
        arrows, state = {}, {}
        for room, other in self.edges:
            arrows.setdefault(room, set()).add(other)

        def visit(room, path):
            state[room] = "open"
            for other in sorted(arrows.get(room, ())):
                if state.get(other) == "open":
                    loop = path[path.index(other):] + [other]
                    self.errors.append("cycle between rooms: " + " -> ".join(loop))
                elif other not in state:
                    visit(other, path + [other])
            state[room] = "done"

        for room in sorted(arrows):
            if room not in state:
                visit(room, [room])

    def check_cmake(self):
        """src/CMakeLists.txt must give each room just what the table does."""
        file = self.root / "src/CMakeLists.txt"
        if not file.is_file():
            return
        for match in re.finditer(r"glmoe_room\(([^)]*)\)", file.read_text(encoding="utf-8")):
            room, *words = match.group(1).split()
            deps = words[words.index("DEPS") + 1:] if "DEPS" in words else []
            deps = set(deps[:deps.index("LIBS")] if "LIBS" in deps else deps)
            if room not in self.rules:
                self.errors.append(f"src/CMakeLists.txt: room {room} is not in the table")
                continue
            rule = self.rules[room]
            wanted = rule.rooms.union(*rule.exceptions.values())
            built = {r for r in wanted if (self.root / "src" / r).is_dir()}
            if not built <= deps <= wanted:
                self.errors.append(
                    f"src/CMakeLists.txt: {room} has DEPS {' '.join(sorted(deps))}; the table of "
                    f"docs/architecture.md says {' '.join(sorted(wanted))}")

    def run(self):
        for folder in FOLDERS:
            for file in sorted((self.root / folder).rglob("*")):
                if file.suffix in SOURCES and file.is_file():
                    self.check_file(file)
        self.check_cycles()
        self.check_cmake()
        return self.errors


def check(root):
    """All breaches in the tree at `root`, one line each."""
    rules = parse_table((root / "docs/architecture.md").read_text(encoding="utf-8"))
    return check_rules(rules) + Checker(root, rules).run()


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    try:
        errors = check(root.resolve())
    except (OSError, ValueError) as error:
        errors = [f"docs/architecture.md: {error}"]
    for error in errors:
        print(error, file=sys.stderr)
    if errors:
        print(f"check_layers: {len(errors)} breaches", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
