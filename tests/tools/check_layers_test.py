"""Each rule of check_layers is broken once, in a project that otherwise keeps them all."""
import unittest

from tree import Tree  # also puts tools/ on the path

import check_layers

TABLE = """# Plan

## 3. Who may include whom

| Level | Room | May include | Outside libraries |
|---|---|---|---|
| 1 | base | – | fmt |
| 2 | tensor, step | base | – |
| 2 | kernels | base | hwy, cuda* |
| 3 | llm | base, tensor; `load.cc`: kernels | – |
| 4 | apps | base | CLI |

## 4. More

| 9 | nonsense | nowhere | – |
"""
CLEAN = {
    "docs/architecture.md": TABLE,
    "include/glmoe/llm.h": "#include <string>\n#include \"glmoe/config.h\"\n",
    "include/glmoe/config.h": "#include <vector>\n",
    "src/base/error.h": "#include <fmt/format.h>\n#include \"glmoe/config.h\"\n",
    "src/base/error.cc": "#include \"base/error.h\"\n\n#include <sys/mman.h>\n#include <vector>\n",
    "src/tensor/tensor.h": "#include \"base/error.h\"\n#include <fmt/core.h>\n",
    "src/kernels/cpu/gemm.cc": "#include \"hwy/highway.h\"\n#include <cuda_runtime.h>\n",
    "src/kernels/cpu/gemm_plan.h": "#include <cstdint>\n",
    "src/llm/load.cc": "#include \"kernels/cpu/gemm_plan.h\"\n#include \"glmoe/llm.h\"\n",
    "src/CMakeLists.txt": "glmoe_room(base LIBS fmt::fmt)\nglmoe_room(tensor DEPS base)\n"
                          "glmoe_room(llm DEPS base tensor kernels)\n",
    "apps/main.cc": "#include <CLI/CLI.hpp>\n#include \"glmoe/llm.h\"\n#include \"base/error.h\"\n",
    "examples/hello.cc": "#include <glmoe/llm.h>\n",
    "tests/support/temp.h": "#include <string>\n",
    "tests/tensor/tensor_test.cc": "#include \"tensor/tensor.h\"\n#include \"support/temp.h\"\n"
                                   "#include <gtest/gtest.h>\n",
}


class CheckLayersTest(unittest.TestCase):
    def breaches(self, **changed):
        """Breaches of the clean project with files changed; `__` in a name stands for `/`."""
        files = CLEAN | {name.replace("__", "/"): text for name, text in changed["files"].items()}
        with Tree(files) as root:
            return check_layers.check(root)

    def assert_breach(self, pattern, files):
        found = self.breaches(files=files)
        self.assertEqual(len(found), 1, found)
        self.assertRegex(found[0], pattern)

    def test_a_project_that_keeps_the_rules_has_no_breach(self):
        self.assertEqual(self.breaches(files={}), [])

    def test_a_room_may_not_include_one_that_the_table_does_not_give_it(self):
        self.assert_breach(r"src/kernels/bad.h:1: kernels may not include tensor",
                           {"src/kernels/bad.h": '#include "tensor/tensor.h"\n'})

    def test_the_line_of_the_include_is_named(self):
        self.assert_breach(r"bad.h:3:", {
            "src/kernels/bad.h": '// why\n\n#include "tensor/tensor.h"\n'})

    def test_an_exception_holds_for_its_file_alone(self):
        self.assert_breach(r"src/llm/other.cc:1: llm may not include kernels",
                           {"src/llm/other.cc": '#include "kernels/cpu/gemm_plan.h"\n'})

    def test_a_room_outside_the_table_is_named(self):
        self.assert_breach("room attic is not in the table",
                           {"src/attic/a.cc": '#include "base/error.h"\n'})

    def test_the_own_header_comes_first(self):
        self.assert_breach("first include must be the file's own header \"tensor/tensor.h\"", {
            "src/tensor/tensor.cc": '#include <vector>\n#include "tensor/tensor.h"\n'})

    def test_a_public_header_counts_as_own(self):
        self.assert_breach('own header "glmoe/config.h"', {
            "src/tensor/config.cc": '#include "base/error.h"\n#include "glmoe/config.h"\n'})

    def test_relative_includes_are_refused(self):
        self.assert_breach('relative include "../base/error.h"',
                           {"src/tensor/a.cc": '#include "../base/error.h"\n'})

    def test_includes_without_the_room_are_refused(self):
        self.assert_breach('"error.h" does not resolve',
                           {"src/base/a.cc": '#include "error.h"\n'})

    def test_llm_h_is_not_for_the_rooms_below(self):
        self.assert_breach("base may not include glmoe/llm.h",
                           {"src/base/a.cc": '#include "glmoe/llm.h"\n'})

    def test_public_headers_use_the_standard_library_alone(self):
        self.assert_breach("public may not use the library fmt",
                           {"include/glmoe/a.h": "#include <fmt/format.h>\n"})
        self.assert_breach("a public header may not include",
                           {"include/glmoe/a.h": '#include "base/error.h"\n'})

    def test_examples_see_the_public_headers_alone(self):
        self.assert_breach("an example may only include",
                           {"examples/a.cc": '#include "base/error.h"\n'})

    def test_libraries_belong_to_their_room(self):
        self.assert_breach("tensor may not use the library CLI",
                           {"src/tensor/a.cc": "#include <CLI/CLI.hpp>\n"})
        self.assert_breach("tensor may not use the library boost",
                           {"src/tensor/a.cc": "#include <boost/asio.hpp>\n"})

    def test_the_table_itself_must_point_down(self):
        table = TABLE.replace("| 2 | kernels | base |", "| 2 | kernels | base, llm |")
        self.assert_breach(r"kernels \(level 2\) may not be given llm \(level 3\)",
                           {"docs/architecture.md": table})

    def test_unknown_rooms_in_the_table_are_named(self):
        table = TABLE.replace("| 4 | apps | base |", "| 4 | apps | base, cellar |")
        self.assert_breach("unknown room cellar", {"docs/architecture.md": table})

    def test_a_cycle_is_named_with_its_rooms(self):
        found = self.breaches(files={"src/base/loop.h": '#include "tensor/tensor.h"\n'})
        self.assertTrue(any("cycle between rooms: base -> tensor -> base" in f for f in found), found)

    def test_cmake_must_agree_with_the_table(self):
        self.assert_breach("src/CMakeLists.txt: tensor has DEPS base kernels",
                           {"src/CMakeLists.txt": "glmoe_room(tensor DEPS base kernels)\n"})

    def test_a_plan_without_the_table_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "no section"):
            check_layers.parse_table("# nothing here\n")


if __name__ == "__main__":
    unittest.main()
