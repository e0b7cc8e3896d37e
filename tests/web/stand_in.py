"""A server that answers as `glmoe serve` does, without a model: what it says is chosen by the prompt.

    stand_in.py [PORT]      serves the page at http://127.0.0.1:PORT/ for work on the page itself

The wire format is that of src/serve (chunks with usage in each, [DONE], error events). Requests are
kept in `requests` for tests to look at.
"""
import json
import pathlib
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILES = pathlib.Path(__file__).resolve().parents[2] / "src/serve/web"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = ("default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
          "object-src 'none'")

HOSTILE = """<img src=x onerror="window.hacked=1"> <script>window.hacked=1</script>

[click](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>)
<javascript:window.hacked=1> [good](https://example.org/a?b=1) http://example.org/plain.

![image](https://example.org/pixel.png)

```html"><img src=x onerror=window.hacked=1>
</code></pre><script>window.hacked=1</script>
```

| a<script>window.hacked=1</script> | b |
|---|---|
| <svg onload=window.hacked=1> | `</code><img src=x onerror=window.hacked=1>` |
"""

RICH = """A **mixture of experts** replaces one large feed-forward block by many small ones, of which each token uses only a few. The *router* decides which:

1. It scores every expert: `scores = sigmoid(x @ W.T)`
2. It keeps the `k` best and normalises their weights.
   - ties go to the lower index
   - a bias steers the balance, but not the weights

```python
def route(x, weight, bias, k=8):
    scores = sigmoid(x @ weight.T)
    chosen = top_k(scores + bias, k)
    return chosen, scores[chosen] / scores[chosen].sum()
```

| Model | Experts | Per token |
|:--|--:|--:|
| GLM-4.5-Air | 128 | 8 |
| GLM-4.5 | 160 | 8 |

See [the paper](https://arxiv.org/abs/2508.06471) for more."""


def pieces(text, size=6):
    return [text[i:i + size] for i in range(0, len(text), size)]


class StandIn(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port=0, api_key="", config=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.api_key = api_key
        self.config = config or {"chat": True, "experts": "experts"}
        self.requests, self.aborted = [], threading.Event()
        self.phase = "ready"
        self.polls = 0
        random.seed(7)
        self.counts = [[1000 * (i + j) for j in range(16)] for i in range(6)]
        self.next_counts = None  # what the next poll adds; None: random traffic
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def experts(self):
        self.polls += 1
        for i, layer in enumerate(self.counts):
            for j in range(len(layer)):
                if self.next_counts is not None:
                    layer[j] += self.next_counts[i][j]
                elif self.polls > 1:
                    layer[j] += max(0, int(random.gauss(40, 18) * (1 + (j % 5 == i % 5))))
        return {"steps": 10 * self.polls,
                "layers": [{"layer": i + 1, "tokens": layer} for i, layer in enumerate(self.counts)]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-Id", "req-1")
        self.send_header("Connection", "close")  # so that a server that ends is gone at once
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True
        self.wfile.write(data)

    def refuse(self, status, message, code):
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error",
                                      "param": None, "code": code}})

    def allowed(self):
        key = self.server.api_key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.refuse(401, "a valid API key is needed: Authorization: Bearer KEY", "invalid_api_key")
        return False

    def do_GET(self):
        path = self.path.split("?")[0]
        name = "index.html" if path == "/" else path.removeprefix("/web/")
        if name == "config.json":
            self.reply(200, self.server.config)
        elif path in ("/", f"/web/{name}") and (FILES / name).is_file():
            self.reply(200, (FILES / name).read_bytes(), TYPES[pathlib.Path(name).suffix],
                       Content_Security_Policy=POLICY)
        elif path == "/ready":
            ready = self.server.phase == "ready"
            self.reply(200 if ready else 503, {"status": self.server.phase})
        elif not self.allowed():
            pass
        elif path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": "glm4-moe-demo"}]})
        elif path == "/experts":
            self.reply(200, self.server.experts())
        else:
            self.refuse(404, f"there is no GET {path}", "unknown_path")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed():
            return
        self.server.requests.append(body)
        last = body["messages"][-1]
        word = last["content"].split()[0] if last["content"].split() else ""
        if word == "refuse":
            self.refuse(400, "temperature: a number was wanted", "invalid_type")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("X-Request-Id", "req-2")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            Answer(self, body).play(word if last["role"] == "user" else "after-tool")
        except (BrokenPipeError, ConnectionResetError):
            self.server.aborted.set()


class Answer:
    """One stream: chunks with counts that grow by one token each."""

    def __init__(self, handler, body):
        self.handler, self.body = handler, body
        self.tokens = self.reasoning_tokens = 0

    def raw(self, text):
        self.handler.wfile.write(text.encode())
        self.handler.wfile.flush()

    def chunk(self, delta, finish=None):
        usage = {"prompt_tokens": 21, "completion_tokens": self.tokens,
                 "total_tokens": 21 + self.tokens, "prompt_tokens_details": {"cached_tokens": 16},
                 "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens}}
        self.raw("data: " + json.dumps({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            "usage": usage}, ensure_ascii=False) + "\n\n")

    def text(self, text, field="content", pause=0.002):
        for piece in pieces(text):
            self.tokens += 1
            self.reasoning_tokens += field == "reasoning_content"
            self.chunk({field: piece})
            time.sleep(pause)

    def end(self, finish="stop"):
        self.chunk({}, finish)
        self.raw("data: [DONE]\n\n")

    def play(self, word):
        self.raw(": keep-alive\n\n")
        self.chunk({"role": "assistant", "content": ""})
        {"think": self.think, "tool": self.tool, "after-tool": self.after_tool, "slow": self.slow,
         "break": self.break_off, "fail": self.fail, "hostile": self.hostile, "long": self.long,
         "rich": self.rich, "cut": self.cut, "crlf": self.crlf}.get(word, self.plain)()

    def plain(self):
        self.text("You said: " + self.body["messages"][-1]["content"] + " – grüße, 漢字 🙂.")
        self.end()

    def think(self):
        self.text("First I weigh **one** thing, then another.", "reasoning_content", 0.02)
        self.text("The answer is 42.")
        self.end()

    def rich(self):
        self.text("The user asks about experts. A short definition, the steps of the router, some "
                  "code and a table should do.", "reasoning_content", 0.01)
        self.text(RICH)
        self.end()

    def call(self, index, name, arguments):
        self.chunk({"tool_calls": [{"index": index, "id": f"call_{index}", "type": "function",
                                    "function": {"name": name, "arguments": ""}}]})
        for piece in pieces(arguments):
            self.tokens += 1
            self.chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})

    def tool(self):
        self.text("Let me look.")
        self.call(0, "get_weather", '{"city": "Oslo", "days": 2}')
        self.call(1, "get_time", "{}")
        self.end("tool_calls")

    def cut(self):
        self.call(0, "get_weather", '{"city": "Os')
        self.end("length")

    def after_tool(self):
        results = [m["content"] for m in self.body["messages"] if m["role"] == "tool"]
        self.text("The tools said: " + ", ".join(results))
        self.end()

    def slow(self):
        for i in range(600):
            self.text(f"word{i} ")
            time.sleep(0.05)
        self.end()

    def long(self):
        self.text("\n\n".join(f"Paragraph {i} of a long answer. " * 4 for i in range(40)), pause=0)
        self.end()

    def break_off(self):
        self.text("This ends too")

    def fail(self):
        self.text("Half an")
        self.raw('data: {"error": {"message": "the engine has failed: GPU lost", "type": '
                 '"server_error", "param": null, "code": "engine_failed"}}\n\n')

    def hostile(self):
        self.text(HOSTILE, "reasoning_content", 0)
        self.text(HOSTILE, pause=0)
        self.call(0, "<img src=x onerror=window.hacked=1>", json.dumps({"a": HOSTILE}))
        self.end("tool_calls")

    def crlf(self):
        """Line ends of all kinds, an event of two data lines, one cut within a character."""
        text = 'data: {"choices": [{"index": 0,\r\ndata: "delta": {"content": "täil"}}]}\r\n\r\n'
        for byte in text.encode():
            self.handler.wfile.write(bytes([byte]))
            self.handler.wfile.flush()
        self.end()


def main():
    server = StandIn(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print(server.url)
    threading.Event().wait()


if __name__ == "__main__":
    main()
