"""The way of a model through the program: convert, build, run, verify, inspect, plan, bench.

Greedy text has to be the same whichever form of the demo model is run.
"""
import json
import unittest

import support
from support import DEMO, ROOT, ProgramTest, glmoe, read_safetensors, snapshot, write_safetensors

QUESTIONS = ("What is a violin?", "What is the capital of Peru?", "What is 17 + 25?")
GREEDY = ("--temperature", "0", "--max_tokens", "24")
RANKS = ("--tp_size", "2", "--ep_size", "2", "--pp_size", "2")
GOLDEN = ROOT / "tests/data/goldens/air"
COMMANDS = (["convert"], ["build"], ["run"], ["verify"], ["inspect"], ["plan"], ["bench"],
            ["bench", "latency"])


def prompts():
    return [flag for question in QUESTIONS for flag in ("--prompt", question)]


class Workflow(ProgramTest):
    def ask(self, model, *flags):
        """[answer to each question], greedily."""
        out = self.works("run", "--model", model, "--json", *prompts(), *GREEDY, *flags)
        return [json.loads(line)["outputs"][0] for line in out.splitlines()]

    def test_every_form_of_the_model_gives_the_same_text(self):
        wanted = self.ask(DEMO)
        self.assertIn("bowed stringed instrument", wanted[0]["text"])
        self.assertIn("Lima", wanted[1]["text"])
        self.assertIn("= 42", wanted[2]["text"])
        converted = self.convert(DEMO, "converted")
        stitched = self.convert(DEMO, "stitched", *RANKS)
        forms = {"converted": converted, "engine": self.build(converted, "engine"),
                 "stitched": stitched, "stitched engine": self.build(stitched, "stitched-engine"),
                 "engine of the checkpoint": self.build(DEMO, "direct", *RANKS),
                 "engine of an engine": self.build(self.folder / "stitched-engine", "again",
                                                   "--tp_size", "1")}
        for name, folder in forms.items():
            with self.subTest(name):
                self.assertEqual(self.ask(folder), wanted)
                self.assertIn("different=0 missing=0 extra=0 ok",
                              self.works("verify", "--model", folder, "--source", DEMO))
        self.assertEqual(len(list(stitched.glob("rank*.safetensors"))), 4)
        self.assertEqual(len(list(forms["stitched engine"].glob("rank-*.bin"))), 4)
        # Ranks that were stitched and divided again are what one conversion writes.
        for name in ("manifest.json", "rank-00.bin"):
            self.assertTrue((forms["engine of an engine"] / name).is_file())
        self.assertEqual(snapshot(forms["engine of an engine"])["rank-00.bin"],
                         snapshot(forms["engine"])["rank-00.bin"])

    def test_threads_batches_and_chunks_do_not_change_the_text(self):
        wanted = self.ask(DEMO)
        self.assertEqual(self.ask(DEMO, "--num_threads", "1"), wanted)
        self.assertEqual(self.ask(DEMO, "--max_batch_size", "1", "--max_num_tokens", "3"), wanted)

    def test_sampling_with_a_seed_repeats_itself(self):
        flags = ("--prompt", "Hi", "--temperature", "4", "--top_p", "1", "--max_tokens", "16",
                 "--n", "2")
        first, again, other = (self.works("run", "--model", DEMO, *flags, "--seed", seed)
                               for seed in ("7", "7", "8"))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_flags_take_hyphens_and_underscores(self):
        for mark in "-_":
            def flag(name, value):
                return f"--{name.replace('_', mark)}={value}"

            output = self.folder / f"out{ord(mark)}"
            self.works("convert", flag("model_dir", DEMO), flag("output_dir", output),
                       flag("tensor_parallel_size", 2), flag("max_host_memory", "64M"))
            self.works("run", "--model", output, "--prompt", "a-b_c", flag("max_tokens", 1),
                       flag("stop_token_ids", 3), f"--ignore{mark}eos")
            for name in ("cuda_graphs", "plan_ahead", "enable_block_reuse"):
                self.works("run", "--model", output, "--prompt", "a", "--max_tokens", "1",
                           f"--no{mark}{name.replace('_', mark)}")
        self.assertEqual(*(snapshot(self.folder / f"out{ord(mark)}") for mark in "-_"))


class Run(ProgramTest):
    def run_demo(self, *flags, **options):
        return self.works("run", "--model", DEMO, *GREEDY, *flags, **options)

    def test_json_has_text_tokens_usage_and_timing(self):
        out = self.run_demo("--prompt", "What is 17 + 25?", "--json", "--logprobs", "2",
                            "--prompt_logprobs", "1")
        self.assertEqual(out.count("\n"), 1)
        answer = json.loads(out)
        self.assertEqual(sorted(answer), ["outputs", "prompt", "prompt_logprobs",
                                          "prompt_token_ids", "timing_ms", "usage"])
        output, = answer["outputs"]
        self.assertEqual(output["index"], 0)
        self.assertEqual(output["finish_reason"], "stop")
        self.assertIn("17 + 25 = 42.", output["text"])
        self.assertEqual(int(output["stop_reason"]), output["token_ids"][-1])
        self.assertEqual(len(output["logprobs"]), len(output["token_ids"]))
        best = output["logprobs"][0][0]
        self.assertEqual((best["token_id"], best["rank"]), (output["token_ids"][0], 1))
        self.assertLessEqual(best["logprob"], 0)
        self.assertIn("17 + 25", answer["prompt"])
        self.assertEqual(answer["usage"], {"prompt_tokens": len(answer["prompt_token_ids"]),
                                           "completion_tokens": len(output["token_ids"])})
        self.assertEqual(len(answer["prompt_logprobs"]), len(answer["prompt_token_ids"]))
        self.assertLessEqual(answer["timing_ms"]["first_token"], answer["timing_ms"]["total"])
        self.assertGreaterEqual(answer["timing_ms"]["queue"], 0)

    def test_a_file_of_prompts_is_answered_line_by_line(self):
        alone = [self.run_demo("--prompt", question) for question in QUESTIONS[1:]]
        file = self.folder / "prompts.txt"
        file.write_text("\n\n".join(QUESTIONS[1:]))
        self.assertEqual(self.run_demo("--prompt_file", file), "".join(alone))
        ids = json.loads(self.run_demo("--json", "--prompt", QUESTIONS[2]))["prompt_token_ids"]
        file = self.folder / "prompts.jsonl"
        lines = ({"messages": [{"role": "user", "content": QUESTIONS[1]}]}, {"token_ids": ids})
        file.write_text("\n".join(map(json.dumps, lines)))
        self.assertEqual(self.run_demo("--prompt_file", file), "".join(alone))

    def test_a_conversation_remembers_until_it_is_reset(self):
        first, second = "What is the capital of Peru?", "And of Chile?"
        alone = [self.run_demo("--prompt", text) for text in (first, second)]
        self.assertEqual(self.run_demo(stdin=f"{first}\n"), alone[0])
        both = self.run_demo(stdin=f"{first}\n\n{second}\n")
        self.assertTrue(both.startswith(alone[0]))
        history = [{"role": "user", "content": first},
                   {"role": "assistant", "content": alone[0][:-1]},
                   {"role": "user", "content": second}]
        file = self.folder / "history.jsonl"
        file.write_text(json.dumps({"messages": history}))
        self.assertEqual(both[len(alone[0]):], self.run_demo("--prompt_file", file))
        self.assertEqual(self.run_demo(stdin=f"{first}\n/reset\n{second}\n/exit\n{first}\n"),
                         "".join(alone))

    def test_stop_strings_and_limits_end_the_answer(self):
        whole = self.run_demo("--prompt", QUESTIONS[0])
        cut = self.run_demo("--prompt", QUESTIONS[0], "--stop", "stringed")
        self.assertEqual(cut.rstrip("\n"), whole[:whole.index("stringed")].rstrip("\n"))
        one = json.loads(self.works("run", "--model", DEMO, "--prompt", "Hi", "--temperature", "0",
                                    "--max_tokens", "1", "--json"))["outputs"][0]
        self.assertEqual((len(one["token_ids"]), one["finish_reason"]), (1, "length"))

    def test_the_longest_prompt_that_fits_is_answered(self):
        ids = self.folder / "ids.jsonl"
        ids.write_text(json.dumps({"token_ids": [8162] + [300] * 62}))
        flags = ("--max_seq_len", "64", "--prompt_file", ids, "--json", "--ignore_eos")
        output = json.loads(self.run_demo(*flags))["outputs"][0]
        self.assertEqual((len(output["token_ids"]), output["finish_reason"]), (1, "length"))


class Verify(ProgramTest):
    def test_logits_are_judged_by_the_limit(self):
        reference = GOLDEN / "reference.safetensors"
        arguments = ["verify", "--model", GOLDEN, "--reference", reference, "--dtype", "float32"]
        self.assertIn(" ok", self.works(*arguments))
        found = json.loads(self.works(*arguments, "--json"))
        self.assertTrue(found["ok"])
        self.assertLess(found["rel_err"], found["max_rel_err"])
        self.assertEqual((found["top1"], found["greedy_same"]), (1.0, found["greedy_rows"]))
        for limit in ("1e-12", "0"):
            result = glmoe(*arguments, "--max_rel_err", limit)
            self.assertEqual(result.returncode, 1)
            self.assertIn("FAILED", result.stdout.decode())
        wide = glmoe(*arguments, "--max_rel_err", "1", "--json")
        self.assertEqual((wide.returncode, json.loads(wide.stdout)["max_rel_err"]), (0, 1.0))

    def test_a_model_that_is_not_the_references_is_refused_or_fails(self):
        reference = GOLDEN / "reference.safetensors"
        self.refused(["verify", "--model", DEMO, "--reference", reference], 1, reference)
        source = support.write_model(self.folder / "hf",
                                     json.loads((GOLDEN / "config.json").read_text()),
                                     read_safetensors(GOLDEN / "model.safetensors"))
        tensors = read_safetensors(source / "model.safetensors")
        dtype, shape, data = tensors["model.norm.weight"]
        tensors["model.norm.weight"] = dtype, shape, data[:2] * (len(data) // 2)
        write_safetensors(source / "model.safetensors", tensors)
        result = glmoe("verify", "--model", source, "--reference", reference)
        self.assertEqual(result.returncode, 1)
        self.assertIn("FAILED", result.stdout.decode())

    def test_one_changed_weight_is_found_and_placed(self):
        source = support.write_model(self.folder / "hf")
        engine = self.build(source, "engine", *RANKS[:2])
        tensors = read_safetensors(source / "model.safetensors")
        name = "model.layers.0.self_attn.o_proj.weight"
        dtype, shape, data = tensors[name]
        changed = bytearray(data)
        changed[2 * (5 * shape[1] + 7) + 1] ^= 0x80  # the sign of element [5, 7]
        tensors[name] = dtype, shape, bytes(changed)
        write_safetensors(source / "model.safetensors", tensors)
        result = glmoe("verify", "--model", engine, "--source", source)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout.decode(), r"differs: .*layers\.0\..* at \[5, 7\], 1 el")
        self.assertIn("different=1", result.stdout.decode())
        told = json.loads(glmoe("verify", "--model", engine, "--source", source, "--json").stdout)
        self.assertFalse(told["ok"])
        self.assertEqual(told["different"][0]["position"], [5, 7])


class Reports(ProgramTest):
    def test_inspect_tells_the_same_of_every_form(self):
        forms = {"Hugging Face folder": DEMO, "converted folder": self.convert(DEMO, "converted"),
                 "engine": self.build(DEMO, "engine")}
        told = [json.loads(self.works("inspect", "--model", folder, "--json"))
                for folder in forms.values()]
        for kind, folder in forms.items():
            self.assertIn(kind, self.works("inspect", "--model", folder))
        for summary in told[1:]:
            for key in ("parameters", "bytes", "tensors", "parts", "files", "dtype"):
                self.assertEqual(summary[key], told[0][key], key)

    def test_plan_counts_the_bytes_that_the_model_has(self):
        plan = json.loads(self.works("plan", "--model", DEMO, "--json", "--kv_cache_tokens", "1024",
                                     "--memory", "1G"))
        self.assertEqual(plan["largest_context"], 4096)  # the model's own limit
        self.assertEqual(plan["kv_cache"], 1024 * plan["kv_bytes_per_token"])
        half = json.loads(self.works("plan", "--model", DEMO, "--json", "--tp_size", "2"))
        self.assertLess(half["weights"], plan["weights"])
        self.assertIn("GiB", self.works("plan", "--preset", "glm-4.5-air"))

    def test_bench_latency_reports_what_was_asked(self):
        told = json.loads(self.works("bench", "latency", "--model", DEMO, "--json", "--prompt_len",
                                     "16", "--output_len", "4", "--repetitions", "1",
                                     "--bandwidth_mib", "64"))
        self.assertEqual((told["prompt_len"], told["output_len"], told["batch_size"]), (16, 4, 1))
        for key in ("prefill_tokens_per_s", "decode_tokens_per_s", "decode_step_ms",
                    "read_bandwidth_gb_per_s", "bytes_per_token"):
            self.assertGreater(told[key], 0, key)

    def test_help_and_version_succeed(self):
        self.assertRegex(self.works("--version"), r"^glmoe \d+\.\d+\.\d+\n$")
        for command in ([], *COMMANDS):
            with self.subTest(command):
                told = self.works(*command, "--help")
                self.assertIn("Usage", told)
                self.assertIn("--help", told)


if __name__ == "__main__":
    unittest.main()
