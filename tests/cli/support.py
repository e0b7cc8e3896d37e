"""What the tests of the program share: running it, judging a refusal, and small model folders."""
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("GLMOE_BINARY", ROOT / "build/bin/glmoe"))
DEMO = pathlib.Path(os.environ.get("GLMOE_MODELS", ROOT / "models")) / "glm4-moe-demo"
TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
              "generation_config.json")
TIMEOUT_S = 60
# What may stand on standard error beside the one message: progress and notes.
BESIDE = re.compile(r"(convert|build) \[|(info|warning) ")


def glmoe(*arguments, stdin="", stdout=subprocess.PIPE, cwd=None, file_limit=None):
    """Runs the program. `file_limit`: no file may grow beyond so many bytes, as on a full disk."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    return subprocess.run([BINARY, *map(os.fspath, arguments)], input=data, stdout=stdout,
                          stderr=subprocess.PIPE, cwd=cwd, timeout=TIMEOUT_S,
                          preexec_fn=limit if file_limit else None)


def start(*arguments):
    return subprocess.Popen([BINARY, *map(os.fspath, arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def snapshot(folder):
    """{name: checksum} of everything in a folder; None where there is none."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return None
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*")) if file.is_file()}


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own (`self.folder`) and the two judgements below."""

    def setUp(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self._temporary.cleanup)
        self.folder = pathlib.Path(self._temporary.name).resolve()

    def works(self, *arguments, **options):
        """Runs the program, which has to succeed; its standard output."""
        result = glmoe(*arguments, **options)
        self.assertEqual(result.returncode, 0, f"{arguments}: {result.stderr.decode()}")
        return result.stdout.decode()

    def refused(self, arguments, status, *names, **options):
        """Runs the program, which has to refuse: this status, one line that holds all `names`."""
        result = glmoe(*arguments, **options)
        errors = result.stderr.decode(errors="backslashreplace")
        told = f"{arguments}: status {result.returncode}, {errors}"
        self.assertEqual(result.returncode, status, told)
        lines = [line for line in errors.splitlines() if not BESIDE.match(line)]
        self.assertEqual(len(lines), 1, told)
        self.assertTrue(lines[0].startswith("glmoe: "), told)
        for name in names:
            self.assertIn(str(name), lines[0], told)
        for word in ("check failed", "internal error", "exception", "terminate"):
            self.assertNotIn(word, lines[0], told)
        self.assertTrue(errors.endswith("\n"), told)
        self.assertEqual(result.stdout, b"", told)
        return lines[0]

    def convert(self, source, name, *flags):
        target = self.folder / name
        self.works("convert", "--model_dir", source, "--output_dir", target, *flags)
        return target

    def build(self, source, name, *flags):
        target = self.folder / name
        self.works("build", "--model_dir", source, "--output_dir", target, *flags)
        return target


# ---------------------------------------------------------------------------- safetensors

ITEM_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "I64": 8}


def num_bytes(dtype, shape):
    count = ITEM_BYTES[dtype]
    for dim in shape:
        count *= dim
    return count


def small_values(count, seed):
    """`count` bfloat16 numbers of either sign between 1/32 and 1/8."""
    rng = random.Random(seed)
    low, high = rng.randbytes(count), bytes(rng.choices(b"\x3d\xbd", k=count))
    out = bytearray(2 * count)
    out[0::2], out[1::2] = low, high
    return bytes(out)


def write_safetensors(path, tensors):
    """`tensors`: {name: (dtype, shape, bytes)}; None for the bytes leaves a hole, read as zeros."""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        end = offset + (num_bytes(dtype, shape) if data is None else len(data))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for dtype, shape, data in tensors.values():
            if data is None:
                file.seek(num_bytes(dtype, shape), os.SEEK_CUR)
            else:
                file.write(data)
        file.truncate()


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in header.items()}


# ---------------------------------------------------------------------------- a small model

CONFIG = {
    "architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe", "dtype": "bfloat16",
    "vocab_size": 8192, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "attention_bias": True,
    "use_qk_norm": True, "partial_rotary_factor": 0.5, "rope_theta": 10000.0,
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "first_k_dense_replace": 1,
    "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
    "routed_scaling_factor": 1.0, "num_nextn_predict_layers": 0, "tie_word_embeddings": False,
    "hidden_act": "silu", "eos_token_id": 8160,
}


def mlp_shapes(prefix, width, hidden):
    return {prefix + "gate_proj.weight": [width, hidden],
            prefix + "up_proj.weight": [width, hidden],
            prefix + "down_proj.weight": [hidden, width]}


def layer_shapes(config, layer):
    hidden, head = config["hidden_size"], config["head_dim"]
    queries = config["num_attention_heads"] * head
    keys = config["num_key_value_heads"] * head
    at = f"model.layers.{layer}."
    shapes = {at + "input_layernorm.weight": [hidden],
              at + "post_attention_layernorm.weight": [hidden],
              at + "self_attn.q_norm.weight": [head], at + "self_attn.k_norm.weight": [head],
              at + "self_attn.o_proj.weight": [hidden, queries]}
    for letter, rows in (("q", queries), ("k", keys), ("v", keys)):
        shapes[at + f"self_attn.{letter}_proj.weight"] = [rows, hidden]
        shapes[at + f"self_attn.{letter}_proj.bias"] = [rows]
    if layer < config["first_k_dense_replace"]:
        return shapes | mlp_shapes(at + "mlp.", config["intermediate_size"], hidden)
    width, experts = config["moe_intermediate_size"], config["n_routed_experts"]
    shapes[at + "mlp.gate.weight"] = [experts, hidden]
    shapes[at + "mlp.gate.e_score_correction_bias"] = [experts]
    for expert in range(experts):
        shapes |= mlp_shapes(at + f"mlp.experts.{expert}.", width, hidden)
    return shapes | mlp_shapes(at + "mlp.shared_experts.", width, hidden)


def model_shapes(config):
    """{published name: shape} of every tensor, MTP layers not counted."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden],
              "lm_head.weight": [vocabulary, hidden]}
    for layer in range(config["num_hidden_layers"]):
        shapes |= layer_shapes(config, layer)
    return shapes


def small_tensors(config=None):
    return {name: ("BF16", shape, small_values(num_bytes("BF16", shape) // 2, name))
            for name, shape in model_shapes(config or CONFIG).items()}


def write_model(folder, config=None, tensors=None):
    """A Hugging Face folder with the demo's tokenizer and template; a small one by default."""
    folder.mkdir(parents=True)
    for name in TEXT_FILES:
        shutil.copy(DEMO / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config or CONFIG))
    write_safetensors(folder / "model.safetensors", tensors or small_tensors())
    return folder
