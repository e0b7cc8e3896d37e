"""A running `glmoe serve` with the demo model, for the tests with the official clients."""
import os
import pathlib
import re
import select
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("GLMOE_BINARY", ROOT / "build/bin/glmoe"))
DEMO = pathlib.Path(os.environ.get("GLMOE_MODELS", ROOT / "models")) / "glm4-moe-demo"
KEY = "a-key-for-tests"
MODEL = "demo"
READY_TIMEOUT_S = 120

WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}},
                  "required": ["city"]}


class ServerTest(unittest.TestCase):
    """One server a class. `url` is its address; `flags` are given to it beside the usual."""

    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen(
            [BINARY, "serve", "--model", os.fspath(DEMO), "--port", "0", "--no_admin",
             "--served_model_name", MODEL, "--backend", "cpu", *map(str, cls.flags)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr,
            env={**os.environ, "GLMOE_API_KEY": KEY})
        cls.addClassCleanup(cls.stop)
        ready, _, _ = select.select([cls.process.stdout], [], [], READY_TIMEOUT_S)
        line = cls.process.stdout.readline().decode() if ready else ""
        match = re.match(r"ready (https?://127\.0\.0\.1:\d+) ", line)
        if not match:
            raise AssertionError(f"the server is not ready: {line!r}")
        cls.url = match[1]

    @classmethod
    def stop(cls):
        cls.process.terminate()
        try:
            status = cls.process.wait(30)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            cls.process.wait()
            raise
        finally:
            cls.process.stdout.close()
        if status != 0:
            raise AssertionError(f"the server ended with status {status}")
