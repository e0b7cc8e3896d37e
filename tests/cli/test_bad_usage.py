"""A command line or a prompt that is wrong: flags, values, layouts, texts.

Usage is answered with status 2 and everything else with 1, in one line that names the flag or file.
"""
import os
import pathlib
import tempfile
import unittest

from support import ProgramTest, glmoe, write_model


class SharedModelTest(ProgramTest):
    """One small model, which nothing here writes to, for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        cls.model = write_model(pathlib.Path(cls.shared.name) / "hf")

    def run_refused(self, names, *flags, status=2, **options):
        return self.refused(["run", "--model", self.model, *flags], status, *names, **options)


class BadFlags(SharedModelTest):
    def test_sampling_values_out_of_range_are_named(self):
        cases = {"temperature": ("-1", "100.5", "nan", "inf", "hot"),
                 "top_p": ("0", "2", "-0.5", "nan", "inf"), "min_p": ("-0.1", "1.5", "nan"),
                 "top_k": ("-2", "1.5", "9223372036854775808"),
                 "repetition_penalty": ("0", "-1", "nan", "inf"),
                 "presence_penalty": ("-3", "3", "nan"), "frequency_penalty": ("-inf", "2.1"),
                 "max_tokens": ("0", "-3", "1.5", "many", "99999999999999999999"),
                 "min_tokens": ("-1", "300"), "n": ("0", "129"), "logprobs": ("-1", "21"),
                 "prompt_logprobs": ("21",), "seed": ("-1", "18446744073709551616"),
                 "stop": ("", "x" * 1025), "stop_token_ids": ("-1", "8192", "4294967296")}
        for flag, values in cases.items():
            for value in values:
                with self.subTest(flag, value=value[:30]):
                    self.run_refused([flag], "--prompt", "Hi", f"--{flag}", value)

    def test_model_options_out_of_range_are_named(self):
        cases = {"num_threads": ("-1", "4097"), "max_batch_size": ("0", "-1"),
                 "max_num_tokens": ("0",), "max_seq_len": ("-1", "129"), "dtype": ("int8",),
                 "kv_cache_tokens": ("-1",), "kv_cache_fraction": ("0", "2", "nan"),
                 "tokens_per_block": ("-1", "1025"), "backend": ("gpu",), "moe_backend": ("FAST",),
                 "tensor_parallel_size": ("0", "-1"), "log_level": ("loud",)}
        for flag, values in cases.items():
            for value in values:
                with self.subTest(flag, value=value):
                    # The log level is named in words.
                    self.run_refused([flag.replace("log_", "log ")], "--prompt", "Hi",
                                     f"--{flag}", value)

    def test_what_this_version_does_not_do_is_said(self):
        cases = [["--moe_backend", "TRTLLM"], ["--tp_size", "2"], ["--ep_size", "2"]]
        if not os.path.exists("/dev/nvidia0"):
            cases.append(["--backend", "cuda"])
        for flag, value in cases:
            with self.subTest(flag):
                wanted = {"--tp_size": "tensor_parallel", "--ep_size": "expert_parallel"}
                name = wanted.get(flag, flag.removeprefix("--"))
                self.run_refused([name, value], "--prompt", "Hi", flag, value, status=1)

    def test_benches_of_the_gpu_say_why_there_is_none(self):
        if os.path.exists("/dev/nvidia0"):
            self.skipTest("there is a GPU")
        for part in ("moe", "attention", "gemm"):
            with self.subTest(part):
                self.refused(["bench", part], 1, "backend cuda")
        self.refused(["bench", "startup", "--model", self.model, "--backend", "cuda"], 1, "cuda")
        self.refused(["bench", "latency", "--model", self.model, "--backend", "cuda"], 1, "cuda")

    def test_explain_names_every_backend_and_what_runs(self):
        told = self.works("explain", "--model", self.model, "--backend", "cpu")
        for name in ("backend: cpu", "MoE layers", "CUTLASS", "TRTLLM", "no: "):
            self.assertIn(name, told)
        self.refused(["explain", "--model", self.model, "--backend", "cpu", "--moe_backend",
                      "TRTLLM"], 1, "TRTLLM")

    def test_a_command_line_that_cannot_be_read_is_usage(self):
        for arguments, *names in (
                ([], "subcommand"), (["frobnicate"], "frobnicate"), (["bench"], "subcommand"),
                (["run", "--prompt", "Hi"], "--model"),
                (["convert", "--model_dir", "x"], "--output_dir"),
                (["run", "--model", self.model, "--frobnicate"], "--frobnicate"),
                (["run", "--model", self.model, "--max_tokens"], "--max_tokens"),
                (["run", "--model", self.model, "--prompt", "a", "--prompt_file", "b"], "--prompt"),
                (["verify", "--model", self.model], "--reference", "--source"),
                (["verify", "--model", self.model, "--source", "x", "--max_rel_err", "-1"],
                 "--max_rel_err"),
                (["verify", "--model", self.model, "--reference", "x", "--max_rel_err", "nan"],
                 "--max_rel_err"),
                (["plan"], "--model", "--preset"),
                (["plan", "--model", self.model, "--memory", "lots"], "--memory", "lots"),
                (["plan", "--model", self.model, "--layers", "-1"], "layers"),
                (["plan", "--model", self.model, "--kv_dtype", "int64"], "--kv_dtype"),
                (["bench", "latency", "--model", self.model, "--prompt_len", "0"], "--prompt_len"),
                (["bench", "latency", "--model", self.model, "--bandwidth_mib", "0"],
                 "--bandwidth_mib"),
                (["bench", "latency", "--preset", "demo", "--layers", "-1"], "layers"),
                (["bench", "latency", "--model", self.model, "--batch_size", "1,0"],
                 "--batch_size"),
                (["bench", "latency", "--model", self.model, "--context", "1,x"], "--context"),
                (["bench", "moe", "--moe_backend", "FAST"], "FAST"),
                (["bench", "moe", "--batch_size", "65537"], "--batch_size"),
                (["bench", "attention", "--model", "a", "--preset", "demo"], "--model"),
                (["bench", "startup"], "--model"), (["explain"], "--model"),
                (["explain", "--preset", "demo", "--backend", "gpu"], "gpu"),
                (["bench", "latency", "--preset", "demo"], "--load_format")):
            with self.subTest(arguments[:1], names=names):
                self.refused(arguments, 2, *names)

    def test_a_model_that_is_not_there_or_none_is_named(self):
        empty = self.folder / "empty"
        empty.mkdir()
        for command in ("run", "inspect", "verify", "plan"):
            flags = {"run": ["--prompt", "Hi"], "verify": ["--source", self.model]}.get(command, [])
            with self.subTest(command):
                self.refused([command, "--model", self.folder / "nowhere", *flags], 1, "nowhere")
                self.refused([command, "--model", empty, *flags], 1, empty)
                self.refused([command, "--model", __file__, *flags], 2, "test_bad_usage.py")
        self.refused(["plan", "--preset", "glm-9"], 1, "glm-9", "glm-4.5-air")
        self.refused(["verify", "--model", self.model, "--reference", "nowhere"], 1, "nowhere")
        self.refused(["verify", "--model", self.model, "--reference",
                      self.model / "model.safetensors"], 1, "model.safetensors", "input_ids")

    def test_a_parallel_layout_that_does_not_divide_the_model_says_what_would_do(self):
        for flags, *names in (
                (["--ep_size", "3"], "expert_parallel_size 3", "1, 2, 4, 8"),
                (["--tp_size", "3", "--ep_size", "3"], "expert_parallel_size 3", "1, 2, 4, 8"),
                (["--tp_size", "3"], "num_attention_heads 4", "tensor_parallel_size 3", "1, 2, 4"),
                (["--pp_size", "5"], "pipeline_parallel_size 5", "at most 2"),
                (["--tp_size", "0"], "tp_size"), (["--world_size", "7"], "world_size"),
                (["--moe_tp_size", "3"], "moe_tp_size"), (["--dtype", "int8"], "--dtype"),
                (["--workers", "-1"], "--workers"),
                (["--max_host_memory", "x"], "--max_host_memory"),
                (["--max_host_memory", "1"], "--max_host_memory")):
            for command in ("convert", "build"):
                with self.subTest(command, flags=flags):
                    self.refused([command, "--model_dir", self.model, "--output_dir",
                                  self.folder / "out", *flags], 2, *names)
        self.assertEqual(list(self.folder.iterdir()), [])


class BadPrompt(SharedModelTest):
    """Prompts, by argument, file and standard input."""

    def prompt_file(self, name, content):
        file = self.folder / name
        file.write_bytes(content)
        return file

    def test_an_empty_prompt_is_refused(self):
        self.run_refused(["--prompt", "empty"], "--prompt", "")
        self.run_refused(["--prompt", "empty"], "--raw", "--prompt", "")
        for content in (b"", b"\n \n\t\n"):
            file = self.prompt_file("prompts.txt", content)
            self.run_refused([file], "--prompt_file", file)

    def test_a_prompt_longer_than_the_context_is_refused_with_both_lengths(self):
        words = "violin " * 300
        self.run_refused(["128", "tokens"], "--prompt", words)
        self.run_refused(["128"], "--prompt", "violin " * 5000)
        self.run_refused(["8 ", "--max_seq_len"], "--max_seq_len", "8", "--prompt", "What is it?")
        file = self.prompt_file("prompts.txt", f"Hi\n{words}\n".encode())
        self.run_refused(["prompt 1", "128"], "--prompt_file", file)

    def test_bytes_that_are_no_utf8_are_refused_wherever_they_come_from(self):
        bad = b"caf\xe9 \xff"
        for raw in ([], ["--raw"]):
            self.run_refused(["--prompt", "UTF-8"], *raw, "--prompt", os.fsdecode(bad))
            file = self.prompt_file("prompts.txt", b"Hi\n" + bad + b"\n")
            self.run_refused([file, "line 2", "UTF-8"], *raw, "--prompt_file", file)
        self.run_refused(["--system", "UTF-8"], "--prompt", "Hi", "--system", os.fsdecode(bad))
        file = self.prompt_file("prompts.jsonl", b'{"prompt": "' + bad + b'"}\n')
        self.run_refused([file, "line 1"], "--prompt_file", file, status=1)
        result = glmoe("run", "--model", self.model, "--max_tokens", "2", stdin=bad + b"\nHi\n")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr.decode(), "^glmoe: standard input: .*UTF-8.*\n$")
        self.assertNotEqual(result.stdout, b"")  # the next turn is answered

    def test_a_line_of_a_jsonl_file_that_is_wrong_is_named(self):
        for line, status, *names in (
                ('{"prompt": 5}', 1, "prompt"), ('{"prompt": ', 1, "JSON"), ("5", 1, "object"),
                ("{}", 1, "prompt"), ('{"prompt": ""}', 2, "empty"),
                ('{"token_ids": []}', 2, "token_ids"), ('{"token_ids": {}}', 2, "token_ids"),
                ('{"token_ids": [-1]}', 2, "token_ids"), ('{"token_ids": ["x"]}', 2, "token_ids")):
            with self.subTest(line):
                file = self.prompt_file("prompts.jsonl", f'{{"prompt": "Hi"}}\n{line}\n'.encode())
                self.run_refused([file, "line 2", *names], "--prompt_file", file, status=status)
        file = self.prompt_file("prompts.jsonl", b'{"token_ids": [1, 99999]}\n')
        self.run_refused(["99999", "8191"], "--prompt_file", file)
        file = self.prompt_file("prompts.jsonl", b'{"messages": 3}\n')
        self.run_refused(["messages"], "--prompt_file", file)

    def test_a_prompt_file_that_cannot_be_read_is_named(self):
        self.run_refused(["nowhere.txt"], "--prompt_file", "nowhere.txt", status=1)
        self.run_refused([self.folder], "--prompt_file", self.folder, status=1)


if __name__ == "__main__":
    unittest.main()
