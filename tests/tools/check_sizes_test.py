"""The three checks of check_sizes: lengths of files, mirrors, READMEs of rooms."""
import unittest

from tree import Tree  # also puts tools/ on the path

import check_sizes

CLEAN = {
    "src/base/README.md": "Why this room exists.\n",
    "src/base/error.cc": "int x;\n",
    "include/glmoe/config.h": "\n",
    "tests/base/error_test.cc": "\n",
    "tests/spec/config_test.cc": "\n",
}


class CheckSizesTest(unittest.TestCase):
    def test_a_project_that_keeps_the_rules_is_clean(self):
        with Tree(CLEAN) as root:
            self.assertEqual(check_sizes.check_sizes(root), ([], []))
            self.assertEqual(check_sizes.check_mirrors(root), [])
            self.assertEqual(check_sizes.check_readmes(root), [])

    def test_long_files_are_noted_and_very_long_ones_fail(self):
        with Tree({"src/a/note.cc": "x\n" * 401, "src/a/fail.cc": "x\n" * 701,
                   "src/a/fits.cc": "x\n" * 400}) as root:
            warnings, errors = check_sizes.check_sizes(root)
        self.assertEqual(warnings, ["src/a/note.cc: 401 lines, look again above 400"])
        self.assertEqual(errors, ["src/a/fail.cc: 701 lines, at most 700: divide it"])

    def test_kernels_may_be_longer(self):
        with Tree({"src/kernels/cpu/gemm.cc": "x\n" * 701,
                   "src/kernels/cuda/gemm.cu": "x\n" * 1001}) as root:
            warnings, errors = check_sizes.check_sizes(root)
        self.assertEqual(len(warnings), 1)
        self.assertEqual(len(errors), 1)

    def test_a_test_without_its_source_fails(self):
        with Tree({"tests/base/ghost_test.cc": "\n"} | CLEAN) as root:
            self.assertRegex(check_sizes.check_mirrors(root)[0], r"there is no src/base/ghost\.\*")

    def test_a_mirrors_line_names_what_the_test_covers(self):
        with Tree(CLEAN | {"tests/base/wide_test.cc": "// Mirrors: src/base/error.cc\n",
                           "tests/base/whole_test.cc": "// Mirrors: no one file, because it walks "
                                                       "through all.\n"}) as root:
            self.assertEqual(check_sizes.check_mirrors(root), [])

    def test_a_mirrors_line_that_names_nothing_real_fails(self):
        with Tree(CLEAN | {"tests/base/wide_test.cc": "// Mirrors: src/base/gone.cc\n"}) as root:
            self.assertRegex(check_sizes.check_mirrors(root)[0], "src/base/gone.cc, which does not")

    def test_tests_of_tools_mirror_tools(self):
        with Tree(CLEAN | {"tools/x.py": "", "tests/tools/x_test.py": "",
                           "tests/tools/y_test.py": ""}) as root:
            errors = check_sizes.check_mirrors(root)
        self.assertEqual(len(errors), 1)
        self.assertIn("tests/tools/y_test.py", errors[0])

    def test_every_room_needs_a_short_readme(self):
        with Tree(CLEAN | {"src/text/a.cc": "", "src/step/b.cc": "",
                           "src/step/README.md": "x\n" * 31}) as root:
            errors = check_sizes.check_readmes(root)
        self.assertEqual(len(errors), 2)
        self.assertIn("src/step/README.md: 31 lines, at most 30", errors[0])
        self.assertIn("src/text/README.md: missing", errors[1])


if __name__ == "__main__":
    unittest.main()
