"""`glmoe bench serve` against a server whose behaviour is known (fake_openai_server.py).

Times are checked where they cannot be otherwise: a server that waits before it answers makes no
request shorter than that. How much longer a busy machine takes decides nothing.
"""
import json
import signal
import socket
import subprocess
import time
import unittest

from fake_openai_server import FakeServer
from support import BINARY, ProgramTest, glmoe


class BenchServeTest(ProgramTest):
    def flags(self, server, *flags):
        return ["bench", "serve", "--base_url", server.url, "--input_len", "4", "--output_len",
                "6", *map(str, flags)]

    def measured(self, server, *flags, status=0):
        """The JSON object of a run that ends with this status."""
        result = glmoe(*self.flags(server, "--json", *flags))
        self.assertEqual(result.returncode, status, result.stderr.decode())
        self.assertEqual(len(result.stdout.splitlines()), 1)
        return json.loads(result.stdout)


class Measuring(BenchServeTest):
    def test_latencies_are_at_least_what_the_server_waits(self):
        with FakeServer(ttft_ms=60, itl_ms=15) as server:
            found = self.measured(server, "--num_requests", 8, "--concurrency", 2)
        self.assertEqual(found["requests_succeeded"], 8)
        self.assertEqual(found["requests_failed"], 0)
        self.assertEqual(found["completion_tokens"], 48)
        self.assertEqual(found["answers_without_usage"], 0)
        self.assertEqual(found["finish_reasons"], {"stop": 8})
        self.assertEqual(found["ttft_ms"]["count"], 8)
        self.assertEqual(found["itl_ms"]["count"], 40)
        self.assertGreaterEqual(found["ttft_ms"]["median"], 60)
        self.assertGreaterEqual(found["e2el_ms"]["median"], 60 + 5 * 15)
        self.assertLess(found["ttft_ms"]["median"], found["e2el_ms"]["median"])
        after_first = found["e2el_ms"]["mean"] - found["ttft_ms"]["mean"]
        self.assertAlmostEqual(found["tpot_ms"]["mean"] * 5, after_first, delta=0.01)
        self.assertLessEqual(found["itl_ms"]["mean"] * 5, after_first + 0.01)
        self.assertEqual(found["max_concurrency"], 2)

    def test_records_agree_with_the_summary(self):
        with FakeServer(itl_ms=1) as server:
            found = self.measured(server, "--num_requests", 12, "--save", self.folder / "r.jsonl")
        records = [json.loads(line)
                   for line in (self.folder / "r.jsonl").read_text().splitlines()]
        self.assertEqual([r["index"] for r in records], list(range(12)))
        self.assertAlmostEqual(sum(r["ttft_ms"] for r in records) / 12, found["ttft_ms"]["mean"],
                               delta=0.01)
        for record in records:
            self.assertEqual(len(record["itl_ms"]), record["completion_tokens"] - 1)
            self.assertLessEqual(record["ttft_ms"], record["e2el_ms"])
            self.assertAlmostEqual(
                record["tpot_ms"], (record["e2el_ms"] - record["ttft_ms"]) / 5, delta=0.01)

    def test_chunks_of_all_servers_count_the_same(self):
        shapes = [{"usage": "finish"}, {"usage": "every"}, {"usage": "none"},
                  {"newline": "\r\n", "comments": True}, {"newline": "\r"},
                  {"space_after_colon": False}, {"done": False}, {"finish_reason": ""},
                  {"reasoning": 3}, {"reasoning": 3, "reasoning_field": "reasoning"},
                  {"role_chunk": False}, {"piece_bytes": 7}, {"chunked": False},
                  {"piece_bytes": 1, "newline": "\r\n", "comments": True}]
        for endpoint in ("chat", "completions"):
            for shape in shapes:
                with self.subTest(endpoint, **shape), FakeServer(**shape) as server:
                    found = self.measured(server, "--num_requests", 3, "--endpoint", endpoint)
                    tokens = 18
                    if endpoint == "completions" and shape.get("reasoning"):
                        continue  # completions have none
                    self.assertEqual(found["requests_succeeded"], 3, found["failures"])
                    self.assertEqual(found["completion_tokens"], tokens)
                    self.assertEqual(found["itl_ms"]["count"], 15)
                    self.assertEqual(found["answers_without_usage"],
                                     3 if shape.get("usage") == "none" else 0)

    def test_goodput_counts_what_keeps_the_limits(self):
        with FakeServer(ttft_ms=30) as server:
            flags = ("--num_requests", 4, "--concurrency", 4)
            good = self.measured(server, *flags, "--goodput", "ttft_ms:60000,e2el_ms:60000")
            bad = self.measured(server, *flags, "--goodput", "ttft_ms:29,e2el_ms:60000")
        self.assertEqual(good["good_requests"], 4)
        self.assertAlmostEqual(good["goodput_requests_per_s"], good["requests_per_s"])
        self.assertEqual(bad["good_requests"], 0)

    def test_the_table_says_the_same(self):
        with FakeServer() as server:
            told = self.works(*self.flags(server, "--num_requests", 5))
        for text in ("5 succeeded, 0 failed", "30 generated", "TTFT", "TPOT", "ITL", "E2EL"):
            self.assertIn(text, told)

    def test_many_open_streams_are_all_answered(self):
        with FakeServer(ttft_ms=300, itl_ms=20) as server:
            found = self.measured(server, "--num_requests", 200, "--request_rate", "inf")
            self.assertEqual(found["requests_succeeded"], 200, found["failures"])
            self.assertEqual(found["max_concurrency"], 200)
            self.assertLessEqual(server.most_open, 200)


class Sending(BenchServeTest):
    def test_an_open_loop_sends_at_its_rate_however_slow_the_answers(self):
        with FakeServer(ttft_ms=700) as server:
            found = self.measured(server, "--num_requests", 21, "--request_rate", 40,
                                  "--fixed_rate", "--save", self.folder / "r.jsonl")
        self.assertEqual(found["requests_succeeded"], 21)
        for i, line in enumerate((self.folder / "r.jsonl").read_text().splitlines()):
            record = json.loads(line)
            self.assertAlmostEqual(record["due_s"], i / 40)
            self.assertGreaterEqual(record["sent_s"], record["due_s"])
        # 20 gaps of 25 ms pass before the first answer comes: nothing waited for it.
        self.assertGreater(found["max_concurrency"], 5)
        self.assertEqual(found["asked_requests_per_s"], 40)

    def test_a_closed_loop_never_has_more_open(self):
        with FakeServer(ttft_ms=20) as server:
            found = self.measured(server, "--num_requests", 20, "--concurrency", 3)
            self.assertLessEqual(server.most_open, 3)
        self.assertEqual(found["max_concurrency"], 3)

    def test_a_limit_holds_an_open_loop_too(self):
        with FakeServer(ttft_ms=50) as server:
            found = self.measured(server, "--num_requests", 12, "--concurrency", 2,
                                  "--request_rate", 1000)
            self.assertLessEqual(server.most_open, 2)
        self.assertGreater(found["sent_late_ms"]["max"], 0)

    def test_the_same_seed_sends_the_same(self):
        bodies = []
        for seed in (5, 5, 6):
            with FakeServer() as server:
                self.measured(server, "--num_requests", 6, "--seed", seed, "--range_ratio", 0.5,
                              "--concurrency", 1)
                bodies.append(server.bodies())
        self.assertEqual(bodies[0], bodies[1])
        self.assertNotEqual(bodies[0], bodies[2])
        for body in bodies[0]:
            self.assertTrue(2 <= len(body["messages"][0]["content"].split()) <= 6)
            self.assertTrue(3 <= body["max_tokens"] <= 9)
            self.assertTrue(body["ignore_eos"])

    def test_texts_are_cut_by_the_servers_tokenizer(self):
        with FakeServer(tokenize=True) as server:
            found = self.measured(server, "--num_requests", 3)
            self.assertIn("tokenizer", found["prompts"])
            for body in server.bodies():
                self.assertEqual(len(body["messages"][0]["content"].split()), 4)
        with FakeServer() as server:
            self.assertIn("words", self.measured(server, "--num_requests", 1)["prompts"])

    def test_prefixes_are_shared(self):
        with FakeServer() as server:
            self.measured(server, "--num_requests", 12, "--prefix_len", 5, "--num_prefixes", 2,
                          "--endpoint", "completions")
            prompts = [body["prompt"].split() for body in server.bodies()]
        self.assertEqual(len({tuple(words[:5]) for words in prompts}), 2)
        self.assertEqual(len({tuple(words[5:]) for words in prompts}), 12)

    def test_warm_up_is_not_counted(self):
        with FakeServer() as server:
            found = self.measured(server, "--num_requests", 4, "--warmup", 3)
            self.assertEqual(len(server.bodies()), 7)
        self.assertEqual(found["requests_succeeded"], 4)

    def test_a_duration_ends_the_sending(self):
        with FakeServer(ttft_ms=10) as server:
            found = self.measured(server, "--duration", 0.4, "--concurrency", 2)
        self.assertGreater(found["requests_succeeded"], 0)
        self.assertEqual(found["requests_cancelled"], 0)

    def test_a_file_is_sent_as_it_stands(self):
        path = self.folder / "load.jsonl"
        path.write_text('{"prompt": "one", "max_tokens": 2}\n'
                        '{"messages": [{"role": "user", "content": "zwei"}], "max_tokens": 3}\n')
        with FakeServer() as server:
            result = glmoe("bench", "serve", "--base_url", server.url, "--dataset", path,
                           "--num_requests", "3", "--concurrency", "1", "--json")
            self.assertEqual(result.returncode, 0, result.stderr.decode())
            told = [(body["messages"][0]["content"], body["max_tokens"])
                    for body in server.bodies()]
        self.assertEqual(told, [("one", 2), ("zwei", 3), ("one", 2)])
        self.assertEqual(json.loads(result.stdout)["completion_tokens"], 7)


class Failing(BenchServeTest):
    def test_every_kind_of_failure_is_counted(self):
        cases = [({"status": 429, "retry_after": "3"}, "status 429"),
                 ({"status": 500, "error_message": "broken"}, "status 500"),
                 ({"stop_after": 3}, "truncated"),
                 ({"stop_after": 3, "chunked": False}, "truncated"),
                 ({"stop_after": 3, "ending": "reset"}, "truncated"),
                 ({"stop_after": 0, "ending": "reset"}, "truncated"),
                 ({"stop_after": 3, "ending": "invalid_json"}, "protocol"),
                 ({"stop_after": 3, "ending": "error_event"}, "server"),
                 ({"stop_after": 3, "ending": "silence"}, "timeout")]
        for behaviour, name in cases:
            with self.subTest(**behaviour), FakeServer(**behaviour) as server:
                found = self.measured(server, "--num_requests", 3, "--timeout", 0.5, status=1)
                self.assertEqual(found["requests_succeeded"], 0)
                self.assertEqual(found["requests_failed"], 3)
                self.assertEqual({key: value["count"] for key, value in found["failures"].items()},
                                 {name: 3})

    def test_some_failures_leave_the_rest_measured(self):
        with FakeServer(fail_every=3, error_message="every third") as server:
            found = self.measured(server, "--num_requests", 9, "--concurrency", 1, "--save",
                                  self.folder / "r.jsonl")
        self.assertEqual(found["requests_succeeded"], 6)
        self.assertEqual(found["failures"]["status 500"]["count"], 3)
        self.assertIn("every third", found["failures"]["status 500"]["first"])
        records = [json.loads(line)
                   for line in (self.folder / "r.jsonl").read_text().splitlines()]
        self.assertEqual([r["index"] for r in records if "failure" in r], [2, 5, 8])

    def test_a_server_that_is_not_there_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for flags in ([], ["--model", "m"]):
            self.refused(["bench", "serve", "--base_url", f"http://127.0.0.1:{port}", *flags], 1,
                         f"127.0.0.1:{port}", "refused")
        self.refused(["bench", "serve", "--base_url", "http://no.such.host.invalid"], 1,
                     "no.such.host.invalid")

    def test_what_is_no_openai_server_is_named(self):
        with FakeServer() as server:
            self.refused(["bench", "serve", "--base_url", server.url + "/elsewhere"], 1, "404")

    def test_keys_are_sent_and_asked_for(self):
        with FakeServer(api_key="sesame") as server:
            self.refused(self.flags(server), 1, "401", "--api_key")
            self.refused(self.flags(server, "--api_key", "wrong"), 1, "401")
            self.measured(server, "--api_key", "sesame", "--num_requests", 2)

    def test_wrong_flags_are_named(self):
        cases = {"base_url": ("localhost:8000", "", "http://"), "request_rate": ("0", "-1", "fast"),
                 "concurrency": ("0", "-1", "many"), "num_requests": ("0", "-1"),
                 "duration": ("0", "-1"), "burstiness": ("0", "-1"), "input_len": ("0",),
                 "output_len": ("0", "-5"), "range_ratio": ("-0.1", "1.1"),
                 "goodput": ("ttft:5", "ttft_ms:0"), "endpoint": ("messages",),
                 "extra_body": ("[]", "{"), "timeout": ("0",), "dataset": ("/no/such/file",),
                 "api_key": ("a b", "a\nb")}
        with FakeServer() as server:
            for flag, values in cases.items():
                for value in values:
                    with self.subTest(flag, value=value):
                        status = 1 if flag == "dataset" else 2
                        name = value if flag == "dataset" else flag
                        url = [] if flag == "base_url" else ["--base_url", server.url]
                        self.refused(["bench", "serve", *url, f"--{flag}", value], status, name)

    def test_ctrl_c_prints_what_was_measured(self):
        with FakeServer(itl_ms=200) as server:
            program = subprocess.Popen(
                [BINARY, *self.flags(server, "--json", "--num_requests", 100000, "--concurrency",
                                     2)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            deadline = time.monotonic() + 30
            while len(server.bodies()) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            program.send_signal(signal.SIGINT)
            output, errors = program.communicate(timeout=30)
        self.assertEqual(program.returncode, 130, errors)
        found = json.loads(output)
        self.assertTrue(found["interrupted"])
        self.assertGreater(found["requests_succeeded"], 0)
        self.assertGreater(found["requests_cancelled"], 0)
        self.assertEqual(found["requests_failed"], 0)


if __name__ == "__main__":
    unittest.main()
