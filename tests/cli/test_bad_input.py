"""Model folders that are wrong: files, configurations, tensors, tokenizers, engines.

Every case goes through the program as a stranger would run it: the exit status, one line that names
the thing, and no output folder left behind.
"""
import json
import unittest

from support import CONFIG, ProgramTest, glmoe, small_tensors, snapshot, write_model

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(200)
PROSE = b"These are notes about a model, not the model.\n" * 20


class BadCheckpoint(ProgramTest):
    def refuse_model(self, *names, status=1, config=None, tensors=None, spoil=None):
        """convert refuses a small model with these changes, by these names, and writes nothing."""
        source = write_model(self.folder / f"hf{len(list(self.folder.iterdir()))}",
                             {**CONFIG, **(config or {})}, tensors)
        if spoil:
            spoil(source)
        output = self.folder / "out"
        line = self.refused(["convert", "--model_dir", source, "--output_dir", output], status,
                            source, *names)
        self.assertFalse(output.exists())
        self.assertFalse((self.folder / "out.partial").exists())
        return line

    def test_a_file_that_is_missing_empty_cut_or_something_else_is_named(self):
        spoilers = {
            "missing": lambda file: file.unlink(),
            "empty": lambda file: file.write_bytes(b""),
            "cut": lambda file: file.write_bytes(file.read_bytes()[:-7]),
            "image": lambda file: file.write_bytes(PNG),
            "prose": lambda file: file.write_bytes(PROSE),
            "folder": lambda file: (file.unlink(), file.mkdir()),
        }
        for name in ("model.safetensors", "config.json"):
            for what, spoil in spoilers.items():
                with self.subTest(name, what=what):
                    gone = what == "missing" or (what == "folder" and name == "config.json")
                    wanted = name.replace("model", "") if gone else name
                    self.refuse_model(wanted, spoil=lambda source: spoil(source / name))
        for what in ("empty", "cut", "image", "prose", "folder"):
            with self.subTest("generation_config.json", what=what):
                self.refuse_model(
                    "generation_config.json",
                    spoil=lambda source: spoilers[what](source / "generation_config.json"))

    def test_a_safetensors_header_is_not_believed(self):
        def header(text, length=None):
            data = text.encode()
            size = (len(data) if length is None else length).to_bytes(8, "little")
            return lambda source: (source / "model.safetensors").write_bytes(size + data + bytes(8))

        cases = {
            "truncated": header("{}", 2**20),
            "100000000": header("{}", 2**63),
            "JSON": header('{"a": '),
            "'a'": header('{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 8]}}'),
            "data_offsets":
                header('{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}'),
            "'dtype'": header('{"a": {"dtype": 7, "shape": [2], "data_offsets": [0, 8]}}'),
            "F99": header('{"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}'),
            "shape": header('{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}'),
        }
        for name, spoil in cases.items():
            with self.subTest(name):
                self.refuse_model("model.safetensors", name, spoil=spoil)

    def test_a_field_of_the_wrong_type_or_out_of_range_is_named(self):
        cases = [("hidden_size", "32"), ("hidden_size", 32.5), ("hidden_size", -32),
                 ("hidden_size", 2**62), ("num_hidden_layers", 10**9), ("rms_norm_eps", "tiny"),
                 ("attention_bias", "yes"), ("num_attention_heads", 5), ("num_attention_heads", 0),
                 ("eos_token_id", 99999), ("eos_token_id", "x"), ("hidden_act", "gelu"),
                 ("rope_scaling", {"type": "yarn", "factor": 2.0}), ("partial_rotary_factor", 3.0),
                 ("hidden_size", None), ("n_group", 3)]
        for field, value in cases:
            with self.subTest(field, value=value):
                self.refuse_model("config.json", field, config={field: value})
        # Which in this project's own words is top_k.
        for value in (0, 9):
            self.refuse_model("config.json", "top_k", value, config={"num_experts_per_tok": value})
        self.refuse_model("config.json", "object",
                          spoil=lambda source: (source / "config.json").write_text("[1, 2]"))
        self.refuse_model(
            "generation_config.json", "temperature", spoil=lambda source:
            (source / "generation_config.json").write_text('{"temperature": "hot"}'))
        self.refuse_model(
            "generation_config.json", "top_p", spoil=lambda source:
            (source / "generation_config.json").write_text('{"top_p": 1.5}'))

    def test_another_architecture_is_named(self):
        self.refuse_model("llama", "Glm4MoeForCausalLM",
                          config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        self.refuse_model("MLA", config={"model_type": "glm4_moe_lite"})
        config = {key: value for key, value in CONFIG.items()
                  if key not in ("model_type", "architectures")}
        self.refuse_model("architectures", spoil=lambda source:
                          (source / "config.json").write_text(json.dumps(config)))

    def test_tensors_that_contradict_the_configuration_are_named(self):
        norm, router = "model.norm.weight", "model.layers.1.mlp.gate.weight"
        without = small_tensors()
        del without[norm]
        self.refuse_model("missing", norm, tensors=without)
        surprise = small_tensors() | {"model.layers.0.mlp.surprise": ("BF16", [2], bytes(4))}
        self.refuse_model("model.layers.0.mlp.surprise", tensors=surprise)
        whole_numbers = small_tensors() | {norm: ("I32", [32], bytes(128))}
        self.refuse_model(norm, "I32", "BF16", tensors=whole_numbers)
        scales = {"model.layers.0.mlp.gate_proj.weight_scale": ("F32", [1], bytes(4))}
        self.refuse_model("quantised", *scales, tensors=small_tensors() | scales)
        self.refuse_model("model.embed_tokens.weight", "[8192, 64]", "[8192, 32]",
                          config={"hidden_size": 64})
        self.refuse_model(router, "[4, 32]", "[8, 32]", "model.layers.1.mlp.experts.4.",
                          config={"n_routed_experts": 4})
        self.refuse_model("model.layers.2.", "more", config={"num_hidden_layers": 3})
        self.refuse_model("q_proj.bias", config={"attention_bias": False})
        self.refuse_model("q_norm.weight", config={"use_qk_norm": False})

    def test_a_name_with_a_newline_and_a_terminal_command_stays_on_one_line(self):
        line = self.refuse_model("\\x0a", "\\x1b[31m", tensors=small_tensors() |
                                 {"a\nglmoe: all is well\x1b[31m": ("F32", [1], bytes(4))})
        self.assertNotIn("\x1b", line)

    def test_layers_that_are_left_out_are_told(self):
        source = write_model(self.folder / "hf", {**CONFIG, "num_hidden_layers": 1})
        result = glmoe("convert", "--model_dir", source, "--output_dir", self.folder / "out")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr.decode(), "warning .*layers from 1 on.*num_hidden_layers 1")


class BadText(ProgramTest):
    """Tokenizer, template and generation file of a model that is good otherwise."""

    def test_a_text_file_that_is_damaged_is_named(self):
        for name, contents in {
                "tokenizer.json": (b"", PNG, b"{}", b'{"model": {"type": "BPE", "vocab": 3}}'),
                "tokenizer_config.json": (b"", PNG, b"[]"),
                "chat_template.jinja": (b"{% for %}", b"{{ messages", b"{{ 1 | nothing }}"),
                "generation_config.json": (PNG, b'{"top_k": -7}')}.items():
            for number, content in enumerate(contents):
                with self.subTest(name, content=content[:30]):
                    source = write_model(self.folder / f"{name}.{number}")
                    (source / name).write_bytes(content)
                    self.refused(["run", "--model", source, "--prompt", "Hi"], 1, name)

    def test_a_model_without_tokenizer_or_template_says_so(self):
        source = write_model(self.folder / "hf")
        (source / "chat_template.jinja").unlink()
        self.refused(["run", "--model", source, "--prompt", "Hi"], 1, source, "chat_template.jinja")
        self.works("run", "--model", source, "--raw", "--prompt", "Hi", "--max_tokens", "2")
        (source / "tokenizer.json").unlink()
        self.refused(["run", "--model", source, "--raw", "--prompt", "Hi"], 2, "tokenizer.json")


class BadEngine(ProgramTest):
    def setUp(self):
        super().setUp()
        self.engine = self.build(write_model(self.folder / "hf"), "engine")

    def edit_manifest(self, change):
        file = self.engine / "manifest.json"
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest))

    def run_refused(self, *names):
        return self.refused(["run", "--model", self.engine, "--prompt", "Hi"], 1, *names)

    def test_another_format_version_is_named(self):
        self.edit_manifest(lambda manifest: manifest.update(format_version=2))
        for arguments in (["run", "--model", self.engine, "--prompt", "Hi"],
                          ["inspect", "--model", self.engine],
                          ["build", "--model_dir", self.engine, "--output_dir", self.folder / "o"]):
            self.refused(arguments, 1, "manifest.json", "format 2", "format 1")

    def test_one_flipped_bit_in_a_rank_file_is_found_and_its_blob_named(self):
        manifest = json.loads((self.engine / "manifest.json").read_text())
        blob = manifest["ranks"][0]["blobs"][-1]
        data = bytearray((self.engine / "rank-00.bin").read_bytes())
        data[blob["offset"] + blob["size"] // 2] ^= 4
        (self.engine / "rank-00.bin").write_bytes(data)
        self.run_refused(self.engine, "rank-00.bin", blob["name"], "checksum")
        for command in ("build", "convert"):  # which would write new checksums over it
            self.refused([command, "--model_dir", self.engine, "--output_dir",
                          self.folder / "out"], 1, self.engine, "rank-00.bin", blob["name"])
        self.assertIsNone(snapshot(self.folder / "out"))

    def test_flipped_bits_anywhere_in_the_manifest_never_pass_as_another_model(self):
        file = self.engine / "manifest.json"
        good = file.read_bytes()
        answer = self.works("run", "--model", self.engine, "--prompt", "Hi", "--temperature", "0",
                            "--max_tokens", "4")
        refusals = 0
        # All over the file, and in the numbers of the model that any value would do for.
        theta = good.index(b'"rope_theta": ') + len(b'"rope_theta": ')
        for at in (*range(0, len(good), len(good) // 40), theta + 1, theta + 4):
            data = bytearray(good)
            data[at] ^= 1
            file.write_bytes(data)
            result = glmoe("run", "--model", self.engine, "--prompt", "Hi", "--temperature", "0",
                           "--max_tokens", "4")
            with self.subTest(at, found=bytes(data[max(0, at - 20):at + 20])):
                if result.returncode == 0:  # a bit that changes nothing: the builder's version
                    self.assertEqual(result.stdout.decode(), answer)
                    continue
                self.assertEqual(result.returncode, 1)
                errors = result.stderr.decode(errors="backslashreplace")
                self.assertRegex(errors, "^glmoe: [^\n]*\n$")
                self.assertIn(str(self.engine), errors)
                refusals += 1
        self.assertGreater(refusals, 20)

    def test_a_rank_file_that_is_cut_grown_or_gone_is_named(self):
        file = self.engine / "rank-00.bin"
        good = file.read_bytes()
        for data in (good[:-1], good[:4096], b"", good + b"x", PNG):
            file.write_bytes(data)
            self.run_refused(self.engine, "rank-00.bin", len(good), len(data))
        file.unlink()
        self.run_refused("rank-00.bin")

    def test_everything_that_is_wrong_with_an_engine_is_said_in_one_line(self):
        def spoil(manifest):
            blobs = manifest["ranks"][0]["blobs"]
            blobs[0]["offset"] += 1
            blobs[1]["shape"] = [3]
            blobs[2]["dtype"] = "F99"

        names = [blob["name"] for blob in
                 json.loads((self.engine / "manifest.json").read_text())["ranks"][0]["blobs"][:3]]
        self.edit_manifest(spoil)
        self.run_refused("manifest.json", "; ", *names)

    def test_many_reasons_are_cut_with_a_count(self):
        self.edit_manifest(lambda manifest: manifest["ranks"][0].update(blobs=[]))
        self.run_refused(self.engine, "is missing; ", "; and ", " more")

    def test_a_changed_tokenizer_is_found(self):
        (self.engine / "tokenizer.json").write_bytes(b"{}")
        self.run_refused("tokenizer.json")

    def test_a_converted_folder_that_is_damaged_is_named(self):
        converted = self.convert(self.folder / "hf", "converted", "--tp_size", "2")
        arguments = ["build", "--model_dir", converted, "--output_dir", self.folder / "out"]
        config = json.loads((converted / "config.json").read_text())
        for change, *names in (
                ({"hidden_size": 64}, "rank 0", "[4096, 64]"),
                ({"hidden_size": "x"}, "hidden_size"),
                ({"mapping": {**config["mapping"], "tp_size": 3}}, "tp_size"),
                ({"mapping": {**config["mapping"], "tp_size": 1, "moe_tp_size": 1,
                              "world_size": 1}}, "rank 0"),
                ({"mapping": 7}, "mapping"), ({"dtype": "float99"}, "float99"),
                ({"num_attention_heads": 3, "num_key_value_heads": 3}, "config.json")):
            with self.subTest(change):
                (converted / "config.json").write_text(json.dumps({**config, **change}))
                self.refused(arguments, 1, converted, *names)
        (converted / "config.json").write_text(json.dumps(config))
        for spoil in (lambda file: file.write_bytes(PNG), lambda file: file.unlink()):
            spoil(converted / "rank1.safetensors")
            self.refused(arguments, 1, converted, "rank1.safetensors")
        self.assertIsNone(snapshot(self.folder / "out"))


if __name__ == "__main__":
    unittest.main()
