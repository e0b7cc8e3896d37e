#!/usr/bin/env python3
"""Minutes of mixed load on a server: good requests and every kind of bad client at once.

    soak.py BINARY [MINUTES] [--seed N] [further flags of serve, as --name=value]

Starts `glmoe serve` on the demo model, warms it up, loads it, waits until it is idle, and compares:
no crash; every good answer is the known one, a chat's the one that it got when it was alone;
resident memory within 5 % of the state after the warm-up; no KV block in use; as many descriptors
as before; no thread more; no error in the log. Status 1 and what differs otherwise.
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import socket
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))
WARM_UP_ROUND_S = 15
WARM_UP_ROUNDS = 16
KV_TOKENS = 16384
IDLE_TIMEOUT_S = 60
MEMORY_SLACK = 0.05
BODY_LIMIT = 1 << 20
HEADERS = {"Content-Type": "application/json"}
CHATS = [
    [{"role": "user", "content": "What is a violin?"}],
    [{"role": "user", "content": "What is the capital of Peru?"},
     {"role": "assistant", "content": "Lima."}, {"role": "user", "content": "And of France?"}],
    [{"role": "system", "content": "You are brief."},
     {"role": "user", "content": "What is 17 + 25?"}],
]


def known_answers():
    """[(prompt's ids, answer)]: greedy ones of the demo model, up to their end token."""
    cases = json.loads((ROOT / "tests/data/demo_cases.json").read_text(encoding="utf-8"))
    answers = []
    for case in cases:
        text = case["greedy_text"]
        for token in ("<|user|>", "<|endoftext|>", "<|observation|>"):
            text = text.removesuffix(token)
        answers.append((case["prompt_ids"], len(case["greedy_ids"]), text))
    return answers


class Load:
    """The clients: each method is one request of its kind."""

    def __init__(self, port, answers, seed):
        self.port, self.answers, self.seed = port, answers, seed
        self.lock = threading.Lock()
        self.counts, self.problems = {}, []
        self.kinds = [(self.good, 12), (self.good_stream, 12), (self.good_chat, 6),
                      (self.good_message, 6), (self.new_prompt, 4), (self.abort, 6),
                      (self.slow_reader, 2), (self.malformed, 4), (self.oversized, 1),
                      (self.header_flood, 2), (self.half_a_request, 2), (self.not_http, 1)]
        self.chat_answers = {}
        for number in range(len(CHATS)):
            for read in (self.chat, self.message):
                self.chat_answers[number, read.__name__] = read(number, stream=False)

    def note(self, kind):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    def run(self, seconds, num_threads):
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self.client, args=(i, end)) for i in range(num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seed += num_threads

    def client(self, number, end):
        rng = random.Random(self.seed + number)
        kinds, weights = zip(*self.kinds)
        while time.monotonic() < end:
            kind = rng.choices(kinds, weights)[0]
            try:
                kind(rng)
                self.note(kind.__name__)
            except Exception as error:  # whatever it is, the soak has to tell it
                self.problem(f"{kind.__name__}: {type(error).__name__}: {error}")
                time.sleep(0.1)

    # ------------------------------------------------------------------------ good clients

    def question(self, rng, stream):
        ids, count, answer = rng.choice(self.answers)
        body = {"prompt": ids, "max_tokens": count, "temperature": 0, "stream": stream,
                "skip_special_tokens": False}
        return json.dumps(body), answer

    def check(self, found, answer):
        if found != answer:
            self.problem(f"an answer is wrong: {found!r}, wanted {answer!r}")

    def ask(self, body, path="/v1/completions"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", path, body, HEADERS)
        return connection, connection.getresponse()

    def good(self, rng):
        body, answer = self.question(rng, stream=False)
        connection, response = self.ask(body)
        text = response.read()
        connection.close()
        if response.status != 200:
            return self.problem(f"a good request was answered with {response.status}: {text[:200]}")
        self.check(json.loads(text)["choices"][0]["text"], answer)

    def good_stream(self, rng):
        body, answer = self.question(rng, stream=True)
        connection, response = self.ask(body)
        lines = response.read().decode().splitlines()
        connection.close()
        events = [line[6:] for line in lines if line.startswith("data: ")]
        if response.status != 200 or events[-1:] != ["[DONE]"]:
            return self.problem(f"a good stream was answered with {response.status}: {lines[-3:]}")
        chunks = [json.loads(event) for event in events[:-1]]
        self.check("".join(c["choices"][0]["text"] for c in chunks if c["choices"]), answer)

    def events(self, body, path):
        """The JSON of a whole answer, or of all events of a stream."""
        connection, response = self.ask(json.dumps(body), path)
        text = response.read().decode()
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}: {text[:200]}")
        if not body["stream"]:
            return [json.loads(text)]
        return [json.loads(line[6:]) for line in text.splitlines()
                if line.startswith("data: ") and line != "data: [DONE]"]

    def chat(self, number, stream):
        """The reasoning and content of an answer, and why it ended."""
        body = {"messages": CHATS[number], "max_tokens": 48, "temperature": 0, "stream": stream}
        choices = [event["choices"][0] for event in self.events(body, "/v1/chat/completions")]
        parts = [choice["delta" if stream else "message"] for choice in choices]
        return ("".join(part.get("reasoning_content") or "" for part in parts),
                "".join(part.get("content") or "" for part in parts), choices[-1]["finish_reason"])

    def message(self, number, stream):
        messages = [m for m in CHATS[number] if m["role"] != "system"]
        body = {"messages": messages, "max_tokens": 48, "temperature": 0, "stream": stream}
        events = self.events(body, "/v1/messages")
        if not stream:
            return "".join(b["text"] for b in events[0]["content"]), events[0]["stop_reason"]
        return ("".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta"),
                *(e["delta"]["stop_reason"] for e in events if e["type"] == "message_delta"))

    def good_chat(self, rng, read=None):
        read = read or self.chat
        number = rng.randrange(len(CHATS))
        self.check(read(number, stream=rng.random() < 0.5),
                   self.chat_answers[number, read.__name__])

    def good_message(self, rng):
        self.good_chat(rng, self.message)

    def new_prompt(self, rng):
        """One that nobody has asked: it takes blocks from prefixes that were known."""
        prompt = [rng.randrange(1, 8000) for _ in range(rng.randrange(1, 300))]
        body = {"prompt": prompt, "max_tokens": 16, "n": rng.randrange(1, 3), "stream": False,
                "logprobs": 2, "stop": ["e"], "seed": rng.randrange(1 << 60)}
        self.events(body, "/v1/completions")

    # ------------------------------------------------------------------------ the others

    def endless(self):
        return json.dumps({"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True,
                           "stream": True})

    def abort(self, rng):
        connection, response = self.ask(self.endless())
        for _ in range(rng.randrange(6)):
            response.readline()
        response.close()
        connection.close()

    def slow_reader(self, rng):
        connection, response = self.ask(self.endless())
        for _ in range(rng.randrange(2, 8)):
            time.sleep(0.2)
            response.read1(64)
        response.close()
        connection.close()

    def raw(self, data, end=False):
        """Sends bytes and reads to the end; the status, 0 where there was no answer.

        `end` closes our sending side, which a server may take for a client that has gone.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            try:
                sock.sendall(data)
                if end:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before all of it was sent: the answer is there to read
            text = b""
            try:
                while chunk := sock.recv(65536):
                    text += chunk
            except OSError:
                pass
        return int(text[9:12]) if text.startswith(b"HTTP/1.1 ") else 0

    def expect(self, what, status, *wanted):
        if status not in wanted:
            self.problem(f"{what} was answered with {status}, wanted {wanted}")

    def post(self, body, headers=b""):
        return (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"
                % (len(body), headers, body))

    def malformed(self, rng):
        body = rng.choice([b"{", b"", b"[]", b"null", b'{"prompt": 5}', b"\xff\xfe", b"[" * 5000,
                           b'{"prompt": "a", "max_tokens": -1}', b'{"prompt": "a", "n": 1e9}',
                           b'{"prompt": [99999999]}', rng.randbytes(200)])
        self.expect(f"body {body[:40]}", self.raw(self.post(body)), 400)

    def oversized(self, rng):
        body = b'{"prompt": "' + b"x" * (BODY_LIMIT + rng.randrange(BODY_LIMIT)) + b'"}'
        # 0: the refusal was lost in the reset that followed the unread body.
        self.expect("a body that is too long", self.raw(self.post(body)), 413, 0)

    def header_flood(self, rng):
        count = rng.randrange(200, 2000)
        flood = b"".join(b"X-%d: %s\r\n" % (i, b"y" * 50) for i in range(count))
        self.expect("a flood of headers", self.raw(self.post(b"{}", flood)), 431, 0)

    def half_a_request(self, rng):
        whole = self.post(self.endless().encode())
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(whole[:rng.randrange(1, len(whole))])
            time.sleep(rng.random() * 0.3)

    def not_http(self, rng):
        self.raw(rng.randbytes(rng.randrange(1, 500)) + b"\r\n\r\n", end=True)


# ---------------------------------------------------------------------------- the server's state

def resident_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def wait_idle(server):
    """Until no request is open; True once it is so."""
    end = time.monotonic() + IDLE_TIMEOUT_S
    while time.monotonic() < end:
        if server.metric("glmoe_num_requests_running") == 0 and \
                server.metric("glmoe_num_requests_waiting") == 0:
            time.sleep(1.5)  # connections that linger after a refusal
            return True
        time.sleep(0.2)
    return False


def state(server):
    pid = server.process.pid
    return {"resident MiB": resident_bytes(pid) / 2**20,
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "share of KV blocks in use": server.metric("glmoe_kv_cache_usage_perc")}


def compare(before, after, problems):
    if after["resident MiB"] > before["resident MiB"] * (1 + MEMORY_SLACK):
        problems.append(f"resident memory grew from {before['resident MiB']:.1f} to "
                        f"{after['resident MiB']:.1f} MiB")
    for name in ("descriptors", "threads"):
        if after[name] != before[name]:
            problems.append(f"{name}: {before[name]} before, {after[name]} after")
    for when, found in (("before", before), ("after", after)):
        if found["share of KV blocks in use"] != 0:
            problems.append(f"{when}: KV blocks in use while idle: {found}")


def logged_errors(server):
    lines = server.errors.decode(errors="replace").splitlines()
    return [f"logged: {line}" for line in lines if "[error]" in line or "[critical]" in line]


def soak(server, minutes, seed):
    load = Load(server.port, known_answers(), seed)
    # Until every block of the KV cache was written once, whose memory is resident only then: a round
    # that adds nothing.
    resident = 0
    for _ in range(WARM_UP_ROUNDS):
        load.run(WARM_UP_ROUND_S, num_threads=24)
        grown, resident = resident_bytes(server.process.pid) - resident, resident_bytes(server.process.pid)
        if grown < resident / 200 and server.metric("glmoe_generation_tokens_total") > 3 * KV_TOKENS:
            break
    problems = [] if wait_idle(server) else ["not idle after the warm-up"]
    before = state(server)
    load.run(minutes * 60, num_threads=24)
    if server.process.poll() is not None:
        return load, before, {}, [*load.problems, f"the server ended: {server.process.returncode}",
                                  *logged_errors(server)]
    if not wait_idle(server):
        problems.append("requests are open although all clients have gone")
    after = state(server)
    compare(before, after, problems)
    return load, before, after, load.problems + problems + logged_errors(server)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False,
        epilog="Further flags, as --name=value, are those of glmoe serve.")
    parser.add_argument("binary")
    parser.add_argument("minutes", type=float, nargs="?", default=5)
    parser.add_argument("--seed", type=int, default=1)
    options, flags = parser.parse_known_args()
    os.environ["GLMOE_BINARY"] = options.binary
    from test_serve import Server  # reads the binary's path when it is imported
    server = Server("--backend", "cpu", "--dtype", "float32", "--max_body_bytes", str(BODY_LIMIT),
                    "--kv_cache_tokens", str(KV_TOKENS), "--max_batch_size", "32", *flags)
    try:
        server.wait_ready()
        load, before, after, problems = soak(server, options.minutes, options.seed)
    finally:
        server.stop()
    print("requests:", ", ".join(f"{n} {kind}" for kind, n in sorted(load.counts.items())))
    print("after the warm-up:", before)
    print("at the end:       ", after)
    for problem in sorted(set(problems))[:20]:
        print("PROBLEM", problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
