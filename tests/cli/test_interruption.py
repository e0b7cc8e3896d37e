"""What happens to output folders: kills, full disks, foreign files, places that cannot be written.

The rule of docs/errors.md: whoever is stopped leaves the old output or none, and what is not ours
is refused rather than destroyed.
"""
import fcntl
import os
import pathlib
import signal
import time
import unittest

from support import (CONFIG, DEMO, ProgramTest, glmoe, model_shapes, small_tensors, snapshot, start,
                     write_model)

COMMANDS = ("convert", "build")


def arguments_of(command, source, output, *flags):
    return [command, "--model_dir", source, "--output_dir", output, *flags]


class Killed(ProgramTest):
    def kill_after(self, arguments, started, delay_s):
        """SIGKILL `delay_s` after `started()` first holds; False where the process was quicker."""
        process = start(*arguments)
        while process.poll() is None and not started():
            time.sleep(0.0002)
        time.sleep(delay_s)
        quicker = process.poll() is not None
        process.kill()
        process.wait()
        return not quicker

    def test_a_kill_at_any_time_leaves_the_old_output_or_none_and_a_rerun_ends_alike(self):
        old_source = write_model(self.folder / "old-hf")
        for command in COMMANDS:
            output, clean = self.folder / f"{command}-out", self.folder / f"{command}-clean"
            partial = pathlib.Path(f"{output}.partial")
            arguments = arguments_of(command, DEMO, output, "--workers", "1")
            self.works(*arguments_of(command, DEMO, clean))
            new = snapshot(clean)
            for old_there in (False, True):
                old, killed_while_writing = None, 0
                if old_there:
                    self.works(*arguments_of(command, old_source, output))
                    old = snapshot(output)
                for delay_ms in (0, 0, 0, 1, 2, 4, 7, 12, 20, 35, 60):
                    with self.subTest(command, old_there=old_there, delay_ms=delay_ms):
                        self.kill_after(arguments, partial.exists, delay_ms / 1000)
                        found = snapshot(output)
                        self.assertIn(found, (old, new))
                        killed_while_writing += partial.exists()
                        if found == new:
                            old = new
                self.assertGreater(killed_while_writing, 0, "every kill came too late")
                self.works(*arguments)
                self.assertEqual(snapshot(output), new)
                self.assertFalse(partial.exists())
                self.works("verify", "--model", output, "--source", DEMO)
                self.works(*arguments)  # over a finished output
                self.assertEqual(snapshot(output), new)
                for file in output.iterdir():
                    file.unlink()
                output.rmdir()

    def test_a_killed_convert_goes_on_where_it_was(self):
        # Work is noted each 256 MiB, so the output has to be larger; the input is a sparse file.
        config = {**CONFIG, "hidden_size": 5120}
        tensors = {name: ("BF16", shape, None) for name, shape in model_shapes(config).items()}
        source = write_model(self.folder / "hf", config, tensors)
        output, clean = self.folder / "out", self.folder / "clean"
        journal = pathlib.Path(f"{output}.partial") / "journal"
        arguments = arguments_of("convert", source, output, "--dtype", "float32")

        def noted():
            try:
                return journal.read_bytes().count(b"\n") > 1  # a header, then a line a piece
            except FileNotFoundError:
                return False

        self.assertTrue(self.kill_after(arguments, noted, 0), "it ended before the kill")
        self.assertIsNone(snapshot(output))
        rest = self.works(*arguments)
        self.assertRegex(rest, r"of these, [\d.]+ MiB were there from an interrupted run")
        self.works(*arguments_of("convert", source, clean, "--dtype", "float32"))
        self.assertEqual(snapshot(output), snapshot(clean))

    def test_the_journal_of_another_source_is_not_gone_on_from(self):
        source, output = write_model(self.folder / "hf"), self.folder / "out"
        partial = self.folder / "out.partial"
        partial.mkdir()
        (partial / "journal").write_text("glmoe-convert-journal 1 0123456789abcdef\n0 0 00000000\n")
        (partial / "rank0.safetensors").write_bytes(b"left by another run")
        (partial / "config.json.tmp").write_bytes(b"{")
        told = self.works(*arguments_of("convert", source, output))
        self.assertNotIn("interrupted", told)
        self.assertEqual(snapshot(output), snapshot(self.convert(source, "clean")))
        self.assertFalse(partial.exists())

    def test_an_interrupt_ends_the_program_at_once(self):
        process = start("run", "--model", DEMO, "--prompt", "Hi", "--max_tokens", "4000",
                        "--ignore_eos")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        self.assertNotEqual(process.wait(timeout=10), 0)


class Full(ProgramTest):
    def test_a_full_disk_is_named_and_leaves_the_old_output_and_no_rest(self):
        old_source = write_model(self.folder / "old-hf")
        new_source = write_model(self.folder / "hf", tensors=small_tensors({**CONFIG,
                                                                            "hidden_size": 64}),
                                 config={**CONFIG, "hidden_size": 64})
        with open(new_source / "tokenizer.json", "a") as file:
            file.write(" " * (4 << 20))
        for command in COMMANDS:
            output = self.folder / command
            partial = self.folder / f"{command}.partial"
            # None is there yet, then an old one; only the weights fit, not even they, nothing.
            for old_there in (False, True):
                if old_there:
                    self.works(*arguments_of(command, old_source, output))
                old = snapshot(output)
                for limit, name in ((3 << 20, "tokenizer.json"), (1 << 20, "partial"),
                                    (1000, "partial")):
                    with self.subTest(command, old_there=old_there, limit=limit):
                        self.refused(arguments_of(command, new_source, output), 1, partial, name,
                                     "File too large", file_limit=limit)
                        self.assertEqual(snapshot(output), old)
                        self.assertFalse(partial.exists())
            self.works(*arguments_of(command, new_source, output))
            self.works("verify", "--model", output, "--source", new_source)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_an_answer_that_cannot_be_written_is_no_success(self):
        source = write_model(self.folder / "hf")
        for arguments in (["run", "--prompt", "Hi", "--max_tokens", "2"],
                          ["run", "--prompt", "Hi", "--max_tokens", "2", "--json"],
                          ["inspect"], ["inspect", "--json"], ["plan"]):
            with self.subTest(arguments), open("/dev/full", "wb") as full:
                result = glmoe(*arguments, "--model", source, stdout=full)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr.decode(), "^glmoe: standard output: [^\n]*\n$")


class Places(ProgramTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.folder / "hf")

    def refuse_output(self, output, status, *names):
        for command in COMMANDS:
            with self.subTest(command, output=str(output)):
                self.refused(arguments_of(command, self.source, output), status, *names)

    def test_a_place_that_cannot_be_written_is_named(self):
        file = self.folder / "file"
        file.write_text("mine")
        self.refuse_output(file, 2, file, "found a file")
        self.refuse_output(file / "out", 1, file, "Not a directory")
        self.refuse_output("/proc/out", 1, "/proc/out")
        self.refuse_output("", 2, "--output_dir")
        self.refuse_output("/dev/null", 2, "/dev/null")
        self.assertEqual(file.read_text(), "mine")

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_folder_without_permission_is_named(self):
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        self.refuse_output(closed / "out", 1, closed, "Permission denied")

    def test_the_source_is_never_written_to(self):
        before = snapshot(self.source)
        link = self.folder / "link"
        link.symlink_to(self.source)
        for output in (self.source, f"{self.source}/", self.source / "..", link,
                       os.path.relpath(self.source), self.source / "x" / ".."):
            self.refuse_output(output, 2, "--output_dir", "choose another folder")
        self.assertEqual(snapshot(self.source), before)

    def test_foreign_files_are_refused_and_stay(self):
        for name in ("out", "out.partial"):
            place = self.folder / name
            (place / "photos").mkdir(parents=True)
            (place / "notes.txt").write_text("mine")
            before = snapshot(place)
            self.refuse_output(self.folder / "out", 2, place, "not written by this program")
            self.assertEqual(snapshot(place), before)
            self.assertTrue((place / "photos").is_dir())
            (place / "photos").rmdir()
            (place / "notes.txt").unlink()
            place.rmdir()
        (self.folder / "out.partial").write_text("mine")
        self.refuse_output(self.folder / "out", 1, "out.partial")
        self.assertEqual((self.folder / "out.partial").read_text(), "mine")

    def test_a_folder_of_another_kind_is_not_replaced(self):
        converted = self.convert(self.source, "converted")
        engine = self.build(self.source, "engine")
        other = write_model(self.folder / "other")
        before = [snapshot(place) for place in (converted, engine, other)]
        for command, output in (("convert", engine), ("build", converted), ("convert", other),
                                ("build", other)):
            self.refused(arguments_of(command, self.source, output), 2, output)
        self.assertEqual([snapshot(place) for place in (converted, engine, other)], before)

    def test_a_second_process_on_the_same_output_is_refused(self):
        partial = self.folder / "out.partial"
        partial.mkdir()
        lock = os.open(partial, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.refuse_output(self.folder / "out", 1, partial, "another process")
        self.assertTrue(partial.exists())

    def test_a_bad_source_leaves_the_old_output(self):
        for command in COMMANDS:
            output = self.folder / command
            self.works(*arguments_of(command, self.source, output))
            before = snapshot(output)
            bad = write_model(self.folder / f"bad-{command}", {**CONFIG, "hidden_size": 64},
                              small_tensors())
            self.refused(arguments_of(command, bad, output), 1, bad)
            self.assertEqual(snapshot(output), before)

    def test_an_output_may_be_relative_nested_or_a_link(self):
        place = self.folder / "a" / "b" / "out"
        self.works(*arguments_of("convert", self.source, place))
        before = snapshot(place)
        link = self.folder / "link"
        (self.folder / "target").mkdir()
        link.symlink_to(self.folder / "target")
        self.works(*arguments_of("convert", self.source, link))
        self.assertEqual(snapshot(self.folder / "target"), before)
        self.assertTrue(link.is_symlink())
        for name in ("out", "c/d", "./e/", f"../{self.folder.name}/f"):
            self.works(*arguments_of("convert", "hf", name), cwd=self.folder)
            self.assertEqual(snapshot(self.folder / name), before)


if __name__ == "__main__":
    unittest.main()
