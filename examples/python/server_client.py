"""The engine as a server of its own, asked over HTTP with nothing but the standard library.

OpenAI's and Anthropic's clients do the same: docs/serving.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from demo import MODEL


def ask(url: str, question: str) -> str:
    body = {
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 64,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return str(answer["choices"][0]["message"]["content"])


# `python -m glmoe` is the program `glmoe`. Port 0: a free one, named in the line "ready URL ...".
command = [sys.executable, "-m", "glmoe", "serve", "--model", MODEL, "--port", "0"]
with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
    try:
        assert server.stdout is not None
        ready, url, *_ = server.stdout.readline().split() or ["", ""]
        if ready != "ready":
            sys.exit("the server did not start: see above")
        for question in ("What is the capital of Peru?", "What is 17 + 25?"):
            print(f"{question} {ask(url, question)}")
    finally:
        server.terminate()
