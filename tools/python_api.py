#!/usr/bin/env python3
"""Writes, or compares, what is generated from the Python package.

    PYTHONPATH=build/python build/py-venv/bin/python tools/python_api.py [--write]

python/glmoe/_glmoe.pyi: the extension module's type stubs, by nanobind.
tests/python/api.txt: the signature of every public name of glmoe. A change of it is a change for
users: the CHANGELOG says so.
"""
import difflib
import enum
import inspect
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
STUBS = ROOT / "python/glmoe/_glmoe.pyi"
API = ROOT / "tests/python/api.txt"


def stubs():
    import glmoe._glmoe
    from nanobind.stubgen import StubGen

    generator = StubGen(glmoe._glmoe)
    generator.put(glmoe._glmoe)
    text = generator.get()
    # What nanobind writes of these, mypy --strict does not take.
    text = text.replace("__hash__: None = None", "__hash__: None  # type: ignore[assignment]")
    text = text.replace("-> list:", "-> list[object]:").replace(": dict)", ": dict[str, object])")
    return "# Made by tools/python_api.py from python/binding.\n" + text + "\n__version__: str\n"


def signature(member):
    """As a def line; nanobind's functions carry theirs."""
    text = getattr(member, "__nb_signature__", None)
    if text:
        return " | ".join(entry[0].removeprefix("def ").rpartition("\n")[2] for entry in text)
    try:
        return member.__name__ + str(inspect.signature(member))
    except ValueError:
        return member.__name__ + "(...)"


def is_shown(base):
    """Whether a base class is named; the members of the package's own helpers are the class's."""
    return base is not object and not base.__module__.startswith("glmoe._")


def describe_class(name, cls):
    bases = ", ".join(base.__name__ for base in cls.__bases__ if is_shown(base))
    yield f"class {name}({bases})"
    if issubclass(cls, enum.Enum):
        yield from (f"  {member.name} = {member.value}" for member in cls)
        return
    members = {}
    for part in reversed(cls.__mro__):
        if part is cls or not is_shown(part) and part is not object:
            members |= vars(part)
    for member_name, member in sorted(members.items()):
        if member_name.startswith("_") and member_name != "__init__":
            continue
        function = getattr(member, "__func__", member)
        if isinstance(member, property) or inspect.isgetsetdescriptor(member):
            yield f"  {member_name}: property"
        elif callable(function) and not inspect.isclass(function):
            yield f"  {member_name}: {signature(function)}"
        else:
            yield f"  {member_name}"


def api():
    import glmoe

    lines = []
    for name in sorted(glmoe.__all__):
        value = getattr(glmoe, name)
        if inspect.isclass(value) and value.__name__ != name:
            lines.append(f"{name} = {value.__name__}")
        elif inspect.isclass(value):
            lines += describe_class(name, value)
        else:
            lines.append(name)
    return "\n".join(lines) + "\n"


def difference(file, wanted):
    """A unified diff, empty where the file is as it should be."""
    found = file.read_text(encoding="utf-8") if file.is_file() else ""
    name = file.relative_to(ROOT).as_posix()
    return "\n".join(difflib.unified_diff(found.splitlines(), wanted.splitlines(), name, "generated",
                                          lineterm=""))


def main():
    failed = False
    for file, text in ((STUBS, stubs()), (API, api())):
        if "--write" in sys.argv[1:]:
            file.write_text(text, encoding="utf-8")
        elif changes := difference(file, text):
            print(changes, file=sys.stderr)
            failed = True
    if failed:
        print("python_api: generated files differ: if that is meant, run it with --write",
              file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
