"""`glmoe serve` from outside: start, answers, clients that leave, drain, kills and bad flags."""
# Mirrors: apps/serve.cc, apps/serve_flags.cc, src/serve/server.cc, src/serve/endpoints/generation.cc
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
import unittest

from support import BINARY, DEMO, ProgramTest

JSON = {"Content-Type": "application/json"}
READY_TIMEOUT_S = 60


class Server:
    """A running `glmoe serve`; both ports are free ones."""

    def __init__(self, *flags, model=DEMO, env=None):
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [BINARY, "serve", "--model", os.fspath(model), "--port", "0", "--admin_port", "0",
             *map(str, flags)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})})
        self.errors = b""
        self.reader = threading.Thread(target=self.read_errors, daemon=True)
        self.reader.start()
        self.port = self.admin_port = None

    def read_errors(self):
        for line in self.process.stderr:
            self.errors += line

    def wait_ready(self):
        """Waits for the line that says so; the seconds since the start."""
        ready, _, _ = select.select([self.process.stdout], [], [], READY_TIMEOUT_S)
        line = self.process.stdout.readline().decode() if ready else ""
        match = re.fullmatch(r"ready https?://127\.0\.0\.1:(\d+) admin (?:http://127\.0\.0\.1:(\d+)|none)\n",
                             line)
        if not match:
            raise AssertionError(f"no ready line but {line!r}; {self.errors.decode()}")
        self.port = int(match[1])
        self.admin_port = int(match[2]) if match[2] else None
        return time.monotonic() - self.begun

    def connect(self, admin=False):
        return http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port,
                                          timeout=60)

    def ask(self, method, path, body=None, headers=None, admin=False):
        """(status, headers, text)."""
        connection = self.connect(admin)
        try:
            text = json.dumps(body) if body is not None else None
            connection.request(method, path, text,
                               {**(JSON if body is not None else {}), **(headers or {})})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def metric(self, name):
        text = self.ask("GET", "/metrics")[2]
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                  if re.match(re.escape(name) + r"[ {]", line)]
        return sum(values)

    def stop(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)
        self.reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()


def events(text):
    return [line[len("data: "):] for line in text.splitlines() if line.startswith("data: ")]


def endless(**fields):
    """A completion that runs for as long as the demo's context allows."""
    return {"prompt": "Once", "max_tokens": 900, "ignore_eos": True, "stream": True, **fields}


class ServeTest(ProgramTest):
    def serve(self, *flags, **options):
        server = Server(*flags, **options)
        self.addCleanup(server.stop)
        return server

    def ready(self, *flags, **options):
        server = self.serve(*flags, **options)
        server.wait_ready()
        return server

    def open_stream(self, server, body):
        """A streamed completion of which the first event was read."""
        connection = server.connect()
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/completions", json.dumps(body), JSON)
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertTrue(response.readline().startswith(b"data: "))
        return connection, response


class Answering(ServeTest):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.wait_ready()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_streams_the_same_text_that_it_answers_whole(self):
        question = {"messages": [{"role": "user", "content": "What is a violin?"}],
                    "max_tokens": 40, "temperature": 0}
        status, headers, text = self.server.ask("POST", "/v1/chat/completions", question)
        self.assertEqual(status, 200, text)
        self.assertTrue(headers["X-Request-Id"])
        whole = json.loads(text)["choices"][0]
        status, _, text = self.server.ask("POST", "/v1/chat/completions",
                                          {**question, "stream": True})
        self.assertEqual(status, 200, text)
        lines = events(text)
        self.assertEqual(lines[-1], "[DONE]")
        deltas = [json.loads(line)["choices"][0] for line in lines[:-1]]
        for key in ("content", "reasoning_content"):
            streamed = "".join(delta["delta"].get(key) or "" for delta in deltas)
            self.assertEqual(streamed, whole["message"].get(key) or "", key)
        self.assertEqual(deltas[-1]["finish_reason"], whole["finish_reason"])

    def test_answers_many_at_once_each_as_if_alone(self):
        def ask(number):
            return self.server.ask("POST", "/v1/completions", {
                "prompt": f"The number {number} is", "max_tokens": 16, "temperature": 0})

        alone = [json.loads(ask(i)[2])["choices"][0]["text"] for i in range(8)]
        together = [None] * 8

        def run(number):
            together[number] = json.loads(ask(number)[2])["choices"][0]["text"]

        threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(together, alone)

    def test_speaks_anthropics_api_and_its_errors(self):
        body = {"model": DEMO.name, "max_tokens": 8,
                "messages": [{"role": "user", "content": "Hello"}]}
        status, _, text = self.server.ask("POST", "/v1/messages", body)
        self.assertEqual(status, 200, text)
        self.assertEqual(json.loads(text)["type"], "message")
        status, _, text = self.server.ask("POST", "/v1/messages", {"messages": []})
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(text)["type"], "error")

    def test_names_the_model_by_its_folder(self):
        status, _, text = self.server.ask("GET", "/v1/models")
        self.assertEqual(status, 200)
        self.assertEqual([model["id"] for model in json.loads(text)["data"]], [DEMO.name])
        self.assertNotIn(os.fspath(DEMO.parent), text)
        self.assertEqual(self.server.ask("GET", f"/v1/models/{DEMO.name}")[0], 200)
        self.assertEqual(self.server.ask("GET", "/v1/models/other")[0], 404)

    def test_cancels_what_its_client_has_left(self):
        before = self.server.metric("glmoe_client_disconnects_total")
        for stream in (True, False):
            connection = self.server.connect()
            connection.request("POST", "/v1/completions", json.dumps(endless(stream=stream)), JSON)
            deadline = time.monotonic() + 20
            while self.server.metric("glmoe_num_requests_running") == 0:
                self.assertLess(time.monotonic(), deadline, "it never ran")
            connection.sock.close()
            connection.close()
            while self.server.metric("glmoe_num_requests_running") > 0:
                self.assertLess(time.monotonic(), deadline, "it still runs")
                time.sleep(0.005)
        self.assertEqual(self.server.metric("glmoe_client_disconnects_total"), before + 2)

    def test_cancels_by_id(self):
        connection = self.server.connect()
        connection.request("POST", "/v1/completions", json.dumps(endless()),
                           {**JSON, "X-Request-Id": "to-cancel"})
        response = connection.getresponse()
        status, _, text = self.server.ask("POST", "/admin/cancel", {"id": "to-cancel"}, admin=True)
        self.assertEqual((status, json.loads(text)), (200, {"cancelled": 1}))
        lines = events(response.read().decode())
        self.assertIn("error", json.loads(lines[-1]))
        connection.close()

    def test_shows_experts_and_configuration_to_the_admin_alone(self):
        status, _, text = self.server.ask("GET", "/admin/experts", admin=True)
        self.assertEqual(status, 200)
        layers = json.loads(text)["layers"]
        self.assertTrue(layers and all(sum(layer["tokens"]) > 0 for layer in layers))
        status, _, text = self.server.ask("GET", "/admin/config", admin=True)
        self.assertIn("kv_cache", json.loads(text)["config"])
        self.assertEqual(self.server.ask("GET", "/admin/config")[0], 404)

    def test_counts_what_it_did(self):
        self.server.ask("POST", "/v1/completions", {"prompt": "One", "max_tokens": 4})
        text = self.server.ask("GET", "/metrics")[2]
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc",
                     "prefix_cache_queries_total", "prefix_cache_hits_total",
                     "num_preemptions_total", "prompt_tokens_total", "generation_tokens_total",
                     'request_success_total{finished_reason="length"}',
                     "time_to_first_token_seconds_count", "inter_token_latency_seconds_count",
                     "e2e_request_latency_seconds_count", "request_queue_time_seconds_count",
                     'moe_imbalance{layer="'):
            self.assertIn("\nglmoe_" + name, text)
        self.assertGreaterEqual(self.server.metric("glmoe_generation_tokens_total"), 4)

    def test_listens_nowhere_else(self):
        inodes = set()
        folder = f"/proc/{self.server.process.pid}/fd"
        for name in os.listdir(folder):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:["):-1])
        listening = set()
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with open(f"/proc/net/{table}") as file:
                for line in list(file)[1:]:
                    fields = line.split()
                    if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                        address, port = fields[1].split(":")
                        listening.add((address, int(port, 16)))
        loopback = "0100007F"
        self.assertEqual(listening, {(loopback, self.server.port),
                                     (loopback, self.server.admin_port)})


class Ending(ServeTest):
    def test_is_ready_within_a_second_after_a_kill(self):
        server = self.serve()
        server.wait_ready()
        self.open_stream(server, endless())
        server.stop(signal.SIGKILL)
        again = self.serve()
        self.assertLess(again.wait_ready(), 1.0)
        self.assertEqual(again.ask("GET", "/ready")[0], 200)

    def test_drains_after_sigterm(self):
        server = self.ready("--shutdown_timeout", "300")  # however slow the machine
        _, response = self.open_stream(server, endless())
        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while server.ask("GET", "/ready")[0] == 200:
            self.assertLess(time.monotonic(), deadline)
        status, headers, text = server.ask("POST", "/v1/completions", endless())
        self.assertEqual(status, 503, text)
        self.assertIn("Retry-After", headers)
        self.assertTrue(response.read().decode().endswith("data: [DONE]\n\n"))
        self.assertEqual(server.process.wait(10), 0)

    def test_ends_with_an_error_event_when_the_time_is_over(self):
        server = self.ready("--shutdown_timeout", "0.2")
        _, response = self.open_stream(server, endless())
        server.process.send_signal(signal.SIGTERM)
        lines = events(response.read().decode())
        self.assertEqual(json.loads(lines[-1])["error"]["code"], "shutting_down")
        self.assertNotIn("[DONE]", lines)
        self.assertEqual(server.process.wait(10), 0)

    def test_aborts_at_a_second_signal(self):
        server = self.ready()
        self.open_stream(server, endless())
        server.process.send_signal(signal.SIGTERM)
        while b"shutting down" not in server.errors:
            time.sleep(0.01)
        sent = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(10), 1)
        self.assertLess(time.monotonic() - sent, 1.0)

    def test_ends_when_nothing_runs(self):
        server = self.ready()
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(5), 0)

    def test_fails_for_good_when_a_step_of_the_warm_up_does(self):
        server = self.serve(env={"GLMOE_FAULT": "step_error:1"})
        self.assertEqual(server.process.wait(30), 1)


class Options(ServeTest):
    def test_asks_for_keys_from_flag_file_and_environment(self):
        keys = self.folder / "keys"
        keys.write_text("# team\nfrom-file\n")
        server = self.ready("--api_key", "from-flag", "--api_key_file", keys,
                            env={"GLMOE_API_KEY": "from-environment",
                                 "GLMOE_ADMIN_API_KEY": "for-admin"})
        self.assertEqual(server.ask("GET", "/v1/models")[0], 401)
        self.assertEqual(server.ask("GET", "/ready")[0], 200)
        for key in ("from-flag", "from-file", "from-environment"):
            bearer = {"Authorization": f"Bearer {key}"}
            self.assertEqual(server.ask("GET", "/v1/models", headers=bearer)[0], 200, key)
        self.assertEqual(server.ask("GET", "/admin/config", admin=True)[0], 401)
        admin = {"Authorization": "Bearer for-admin"}
        self.assertEqual(server.ask("GET", "/admin/config", headers=admin, admin=True)[0], 200)
        server.stop(signal.SIGTERM)
        for key in (b"from-flag", b"from-file", b"from-environment", b"for-admin"):
            self.assertNotIn(key, server.errors)

    def test_logs_a_json_object_a_line_without_the_prompt(self):
        server = self.ready("--log_json")
        server.ask("POST", "/v1/completions",
                   {"prompt": "secret words", "max_tokens": 3, "ignore_eos": True},
                   {"X-Request-Id": "logged"})
        server.stop(signal.SIGTERM)
        lines = [json.loads(line) for line in server.errors.decode().splitlines()]
        line, = [entry for entry in lines if entry.get("request_id") == "logged"]
        self.assertEqual((line["status"], line["completion_tokens"]), (200, 3))
        self.assertEqual(line["level"], "info")
        self.assertNotIn(b"secret", server.errors)

    def test_answers_429_when_the_queue_is_full(self):
        server = self.ready("--max_queued_requests", "1", "--max_batch_size", "1")
        self.open_stream(server, endless())
        waiting = server.connect()
        self.addCleanup(waiting.close)
        waiting.request("POST", "/v1/completions", json.dumps(endless()), JSON)
        deadline = time.monotonic() + 10
        while server.metric("glmoe_num_requests_waiting") == 0:
            self.assertLess(time.monotonic(), deadline)
        status, headers, text = server.ask("POST", "/v1/completions", endless())
        self.assertEqual(status, 429, text)
        self.assertEqual(json.loads(text)["error"]["code"], "queue_full")
        self.assertIn("Retry-After", headers)
        # One that waits is cancelled too when its client leaves.
        waiting.sock.close()
        while server.metric("glmoe_num_requests_waiting") > 0:
            self.assertLess(time.monotonic(), deadline)

    def test_refuses_a_port_in_use_before_it_loads_the_model(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            self.refused(["serve", "--model", DEMO, "--port", str(port), "--admin_port", "0"], 1,
                         f"127.0.0.1:{port}", "in use")
            self.refused(["serve", "--model", self.folder / "none", "--port", str(port),
                          "--admin_port", "0"], 1, "in use")

    def test_refuses_bad_flags(self):
        def refused(flags, *names, status=2):
            self.refused(["serve", "--model", DEMO, "--admin_port", "0", "--port", "0", *flags], status,
                         *names)

        refused(["--host", "no such host"], "no such host")
        refused(["--port", "70000"], "port")
        refused(["--port", "-1"], "port")
        refused(["--api_key", ""], "--api_key")
        refused(["--api_key", "two words"], "--api_key")
        refused(["--api_key_file", self.folder / "none"], "none", status=1)
        refused(["--ssl_certfile", self.folder / "none"], "--ssl_keyfile")
        refused(["--ssl_certfile", self.folder / "none", "--ssl_keyfile", self.folder / "none"],
                "--ssl_certfile", status=1)
        refused(["--admin_host", "0.0.0.0"], "--admin_api_key")
        refused(["--max_body_bytes", "0"], "max_body_bytes")
        refused(["--max_connections", "-1"], "max_connections")
        refused(["--header_timeout", "0"], "header_timeout")
        refused(["--shutdown_timeout", "soon"], "shutdown_timeout")
        refused(["--num_io_threads", "0"], "num_io_threads")
        refused(["--expert_metrics", "some"], "expert_metrics")
        self.refused(["serve"], 2, "serve", "--model")


if __name__ == "__main__":
    unittest.main()
