"""`glmoe serve` over TLS, judged by curl, by OpenSSL's own client and by Python's: certificates
that a client trusts or does not, files that do not fit, and each protocol at the other's port."""
# Mirrors: apps/serve_flags.cc, src/serve/http/transport.cc, src/serve/http/listener.cc
import http.client
import json
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from certificates import make, make_authority, make_certificate, openssl
from support import DEMO, ProgramTest
from test_serve import JSON, Server, events

QUESTION = {"prompt": "The violin is", "max_tokens": 24, "temperature": 0}


class Files:
    """Made once: `authority` has signed `server`; `stranger` is an authority nobody asked."""

    @classmethod
    def make(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        make_authority(cls.folder, "authority")
        make_authority(cls.folder, "stranger")
        make_certificate(cls.folder, "server", "authority")
        make_certificate(cls.folder, "other", "authority")
        cls.certificate, cls.key = cls.folder / "server.crt", cls.folder / "server.key"
        cls.authority, cls.stranger = cls.folder / "authority.crt", cls.folder / "stranger.crt"
        cls.other_key = cls.folder / "other.key"


def setUpModule():
    missing = [name for name in ("openssl", "curl") if not shutil.which(name)]
    if missing:
        raise AssertionError(f"{missing} is missing: ./dev setup test installs it")
    Files.make()


def tearDownModule():
    Files.temporary.cleanup()


class Speaking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--ssl_certfile", Files.certificate, "--ssl_keyfile", Files.key,
                            "--header_timeout", "1")
        cls.addClassCleanup(cls.server.stop)
        cls.server.wait_ready()
        cls.url = f"https://127.0.0.1:{cls.server.port}"

    def curl(self, *arguments, authority=None):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert",
             str(authority or Files.authority), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def connect(self, **options):
        context = ssl.create_default_context(cafile=Files.authority)
        for name, value in options.items():
            setattr(context, name, value)
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=30,
                                           context=context)

    def ask(self, connection, body):
        connection.request("POST", "/v1/completions", json.dumps(body), JSON)
        response = connection.getresponse()
        text = response.read().decode()
        self.assertEqual(response.status, 200, text)
        return text

    def num_disconnects(self):
        """From the admin's port, which has no TLS."""
        text = self.server.ask("GET", "/metrics", admin=True)[2]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith("glmoe_client_disconnects_total"))

    def still_answers(self):
        result = self.curl(self.url + "/ready")
        self.assertEqual(result.returncode, 0, result.stderr.decode())

    def test_answers_curl_in_both_versions_of_the_protocol(self):
        for version in (("--tlsv1.2", "--tls-max", "1.2"), ("--tlsv1.3",)):
            result = self.curl(*version, "--header", "Content-Type: application/json",
                               "--data", json.dumps(QUESTION), self.url + "/v1/completions")
            self.assertEqual(result.returncode, 0, result.stderr.decode())
            self.assertTrue(json.loads(result.stdout)["choices"][0]["text"])

    def test_refuses_protocol_versions_that_are_not_safe_any_more(self):
        result = self.curl("--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0",
                           self.url + "/ready")
        self.assertEqual(result.returncode, 35, result.stderr.decode())  # the handshake failed
        self.still_answers()

    def test_a_client_that_trusts_another_authority_refuses(self):
        result = self.curl(self.url + "/ready", authority=Files.stranger)
        self.assertEqual(result.returncode, 60, result.stderr.decode())  # cannot be verified
        self.still_answers()

    def test_shows_openssl_its_certificate(self):
        result = openssl("s_client", "-connect", f"127.0.0.1:{self.server.port}", "-CAfile",
                         Files.authority, "-verify_return_error", "-verify_ip", "127.0.0.1",
                         data=b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = result.stdout.decode()
        self.assertEqual(result.returncode, 0, text)
        self.assertIn("Verify return code: 0 (ok)", text)

    def test_streams_the_same_text_as_whole_and_keeps_the_connection(self):
        connection = self.connect()
        self.addCleanup(connection.close)
        whole = json.loads(self.ask(connection, QUESTION))["choices"][0]["text"]
        first_socket = connection.sock
        lines = events(self.ask(connection, {**QUESTION, "stream": True}))
        self.assertEqual(lines[-1], "[DONE]")
        self.assertEqual("".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1]),
                         whole)
        self.assertIs(connection.sock, first_socket)

    def test_takes_and_gives_more_than_one_record_holds(self):
        connection = self.connect()
        self.addCleanup(connection.close)
        words = "violin " * 20000  # 140 KB; a record holds 16 KB
        connection.request("POST", "/tokenize", json.dumps({"prompt": words}), JSON)
        response = connection.getresponse()
        answer = json.loads(response.read())
        self.assertEqual(response.status, 200, answer)
        self.assertEqual(len(answer["tokens"]), answer["count"])
        self.assertGreater(answer["count"], 20000)

    def test_plain_http_at_this_port_is_closed_and_harms_nobody(self):
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as plain:
            plain.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            try:
                while piece := plain.recv(4096):
                    answer += piece
            except ConnectionResetError:
                pass
        self.assertLess(time.monotonic() - begun, 10)
        self.assertNotIn(b"200", answer)
        result = self.curl(f"http://127.0.0.1:{self.server.port}/ready")
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.still_answers()

    def test_a_client_that_never_shakes_hands_is_let_go(self):
        with socket.create_connection(("127.0.0.1", self.server.port), 10) as silent:
            begun = time.monotonic()
            self.assertEqual(silent.recv(1), b"")
            self.assertLess(time.monotonic() - begun, 8)  # --header_timeout is 1 s
        self.still_answers()

    def test_a_client_that_leaves_in_the_middle_is_noticed(self):
        before = self.num_disconnects()
        connection = self.connect()
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once", "max_tokens": 900, "ignore_eos": True, "stream": True}), JSON)
        response = connection.getresponse()
        self.assertTrue(response.readline().startswith(b"data: "))
        connection.sock.close()
        response.close()
        connection.close()
        deadline = time.monotonic() + 20
        while self.num_disconnects() == before:
            self.assertLess(time.monotonic(), deadline, "nobody noticed")
            time.sleep(0.01)


class Draining(unittest.TestCase):
    def test_finishes_its_streams_after_sigterm(self):
        server = Server("--ssl_certfile", Files.certificate, "--ssl_keyfile", Files.key)
        self.addCleanup(server.stop)
        server.wait_ready()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.port, timeout=60,
            context=ssl.create_default_context(cafile=Files.authority))
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once", "max_tokens": 300, "ignore_eos": True, "stream": True}), JSON)
        response = connection.getresponse()
        self.assertTrue(response.readline().startswith(b"data: "))
        server.process.send_signal(signal.SIGTERM)
        self.assertTrue(response.read().decode().endswith("data: [DONE]\n\n"))
        self.assertEqual(server.process.wait(10), 0)


class PlainPort(unittest.TestCase):
    def test_a_tls_client_is_refused_at_once_and_harms_nobody(self):
        server = Server()
        self.addCleanup(server.stop)
        server.wait_ready()
        result = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "10", "--cacert",
             str(Files.authority), f"https://127.0.0.1:{server.port}/ready"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 35, result.stderr.decode())
        self.assertEqual(server.ask("GET", "/ready")[0], 200)


class Refused(ProgramTest):
    def serve(self, status, *names, certificate=None, key=None):
        flags = [*(["--ssl_certfile", certificate] if certificate else []),
                 *(["--ssl_keyfile", key] if key else [])]
        self.refused(["serve", "--model", DEMO, "--port", "0", "--no_admin", *flags], status,
                     *names)

    def test_a_file_that_is_not_there(self):
        missing = Files.folder / "missing.pem"
        self.serve(1, "--ssl_certfile", missing, certificate=missing, key=Files.key)
        self.serve(1, "--ssl_keyfile", missing, certificate=Files.certificate, key=missing)
        self.serve(1, "--ssl_keyfile", Files.folder, certificate=Files.certificate,
                   key=Files.folder)

    def test_a_key_of_another_certificate(self):
        self.serve(2, "--ssl_keyfile", Files.other_key, certificate=Files.certificate,
                   key=Files.other_key)

    def test_files_that_hold_something_else(self):
        text = self.folder / "text.pem"
        text.write_text("no certificate\n")
        self.serve(2, "--ssl_certfile", text, certificate=text, key=Files.key)
        self.serve(2, "--ssl_keyfile", text, certificate=Files.certificate, key=text)
        # Given the other way round.
        self.serve(2, "--ssl_certfile", Files.key, certificate=Files.key, key=Files.certificate)

    def test_a_key_with_a_password_does_not_ask_for_it(self):
        locked = self.folder / "locked.key"
        make("pkey", "-in", Files.key, "-aes256", "-passout", "pass:secret", "-out", locked)
        self.serve(2, "--ssl_keyfile", locked, "password", certificate=Files.certificate,
                   key=locked)

    def test_one_without_the_other(self):
        self.serve(2, "--ssl_keyfile", certificate=Files.certificate)
        self.serve(2, "--ssl_certfile", key=Files.key)


if __name__ == "__main__":
    unittest.main()
