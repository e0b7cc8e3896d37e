"""Links that lead nowhere and texts that speak of one machine are found; the rest passes."""
import unittest

from tree import Tree  # also puts tools/ on the path

import check_docs

# Spelled in pieces, so that this file passes the check that it tests.
MACHINE = "/" + "work/main/file"


class CheckDocsTest(unittest.TestCase):
    def errors(self, files):
        with Tree(files) as root:
            return check_docs.check(root)

    def test_good_links_pass(self):
        self.assertEqual(self.errors({
            "README.md": "# A title\n[a](docs/a.md) [b](docs/a.md#big-red-box) [c](#a-title)\n"
                         "[d](https://example.org/x) [e](docs)\n",
            "docs/a.md": "## Big, red box\n[up](../README.md)\n"}), [])

    def test_a_link_to_nowhere_is_named_with_its_line(self):
        self.assertRegex(self.errors({"README.md": "\n\n[a](docs/gone.md)\n"})[0],
                         r"README.md:3: link to docs/gone.md: no such file")

    def test_a_link_out_of_the_project_is_refused(self):
        self.assertRegex(self.errors({"README.md": "[a](../elsewhere)\n"})[0], "no such file")

    def test_a_missing_heading_is_named(self):
        self.assertRegex(self.errors({"README.md": "# One\n[a](#two)\n"})[0], "no such heading")

    def test_code_blocks_are_not_links(self):
        self.assertEqual(self.errors({"README.md": "```\nv[0](x.y)\n```\n"}), [])

    def test_paths_of_a_machine_are_refused_everywhere(self):
        for name in ("README.md", "src/a.cc", "tools/b.py", "dev"):
            self.assertRegex(self.errors({name: f"see {MACHINE}\n"})[0],
                             f"{name}:1: names a path of one machine")

    def test_issue_numbers_are_refused(self):
        self.assertRegex(self.errors({"src/a.cc": "// see issue " + "#12\n"})[0],
                         "the number of an issue")

    def test_ordinary_paths_pass(self):
        self.assertEqual(self.errors({"src/a.cc": '// src/work/x, /models/air, "../x"\n'}), [])

    def test_build_folders_and_data_are_left_alone(self):
        self.assertEqual(self.errors({"build/a.md": MACHINE, "tests/data/a.json": MACHINE}), [])


if __name__ == "__main__":
    unittest.main()
