"""A small project in a temporary folder, for the tests of the checking tools."""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))


class Tree:
    """with Tree({"src/base/a.h": "..."}) as root: ..."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.folder.name).resolve()
        for name, text in self.files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return root

    def __exit__(self, *_):
        self.folder.cleanup()
