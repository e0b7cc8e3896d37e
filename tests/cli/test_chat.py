"""`glmoe chat` with a server whose answers are known (fake_openai_server.py), by pipe and by
terminal."""
import json
import os
import pty
import select
import signal
import re
import socket
import time
import unittest

from fake_openai_server import FakeServer
from support import BINARY, ProgramTest, glmoe

MARKS = re.compile(r"\x1b\[\d*m")


class ByPipe(ProgramTest):
    def chat(self, server, text, *flags, status=0):
        result = glmoe("chat", "--base_url", server.url, *flags, stdin=text)
        self.assertEqual(result.returncode, status, result.stderr.decode())
        return result.stdout.decode(), result.stderr.decode()

    def sent(self, server):
        return [[(m["role"], m["content"]) for m in body["messages"]] for body in server.bodies()]

    def test_a_conversation_goes_on(self):
        with FakeServer(text="Fine.") as server:
            output, errors = self.chat(server, "Hi\nAnd you?\n")
            self.assertEqual(output, "Fine.\nFine.\n")
            self.assertEqual(errors, "")
            self.assertEqual(self.sent(server), [
                [("user", "Hi")],
                [("user", "Hi"), ("assistant", "Fine."), ("user", "And you?")]])

    def test_commands_change_what_is_sent(self):
        with FakeServer(text="a") as server:
            self.chat(server, "/system Be short.\n/set temperature 0.7\n/set thinking off\nHi\n"
                              "/clear\n/set temperature default\nAgain\n/system\nAlone\n/exit\nno\n")
            self.assertEqual(self.sent(server), [
                [("system", "Be short."), ("user", "Hi")],
                [("system", "Be short."), ("user", "Again")], [("user", "Alone")]])
            first, second = server.bodies()[:2]
            self.assertEqual(first["temperature"], 0.7)
            self.assertEqual(first["chat_template_kwargs"], {"enable_thinking": False})
            self.chat(server, "Hi\n")
            self.assertNotIn("chat_template_kwargs", server.bodies()[-1])
            self.assertNotIn("temperature", second)

    def test_an_answer_is_made_again(self):
        with FakeServer(text="a") as server:
            self.chat(server, "Hi\n/regen\n")
            self.assertEqual(self.sent(server), [[("user", "Hi")]] * 2)

    def test_messages_of_several_lines(self):
        with FakeServer(text="a") as server:
            self.chat(server, '"""\nfirst\n\n/second\n"""\none\\\ntwo\nlast without end')
            self.assertEqual([m[-1][1] for m in self.sent(server)],
                             ["first\n\n/second", "one\ntwo", "last without end"])

    def test_the_conversation_is_saved(self):
        with FakeServer(text="grün") as server:
            self.chat(server, f"Farbe?\n/save {self.folder}/chat.json\n")
        saved = json.loads((self.folder / "chat.json").read_text(encoding="utf-8"))
        self.assertEqual(saved, {"messages": [{"role": "user", "content": "Farbe?"},
                                              {"role": "assistant", "content": "grün"}]})

    def test_reasoning_is_shown_or_hidden_and_never_sent_back(self):
        for field in ("reasoning_content", "reasoning"):
            with FakeServer(text="hmok", reasoning=2, reasoning_field=field) as server:
                self.assertEqual(self.chat(server, "Hi\n")[0], "hm\n\nok\n")
                self.assertEqual(self.chat(server, "Hi\nMore\n", "--hide_reasoning")[0],
                                 "ok\nok\n")
                self.assertEqual(self.sent(server)[-1][1], ("assistant", "ok"))

    def test_characters_stay_whole_however_the_stream_is_cut(self):
        with FakeServer(text="héllo 🎻 日本", piece_bytes=1, newline="\r\n") as server:
            self.assertEqual(self.chat(server, "Hi\n")[0], "héllo 🎻 日本\n")
            result = glmoe("chat", "--base_url", server.url, stdin=b"caf\xe9\n")
            self.assertEqual(result.returncode, 0)
            self.assertEqual(self.sent(server)[-1], [("user", "caf\ufffd")])

    def test_failures_are_said_and_the_conversation_goes_on(self):
        cases = [({"status": 429, "retry_after": "3"}, ("429", "3 s")),
                 ({"status": 500, "error_message": "broken"}, ("500", "broken")),
                 ({"stop_after": 3, "ending": "error_event"}, ("out of memory",)),
                 ({"stop_after": 3, "ending": "invalid_json"}, ("JSON",)),
                 ({"stop_after": 3, "ending": "reset"}, ("connection",)),
                 ({"stop_after": 3, "ending": "silence"}, ("no byte",))]
        for behaviour, names in cases:
            with self.subTest(**behaviour), FakeServer(**behaviour) as server:
                _, errors = self.chat(server, "Hi\nAgain\n", "--timeout", "0.5", status=1)
                self.assertEqual(errors.count("glmoe: "), 2, errors)
                for name in names:
                    self.assertIn(name, errors)
                self.assertEqual(self.sent(server)[-1], [("user", "Again")])

    def test_wrong_commands_are_said(self):
        with FakeServer(text="a") as server:
            for line in ("/nothing", "/set", "/set heat 5", "/set temperature hot",
                         "/set top_p 2", "/set thinking maybe", "/save", "/regen",
                         "/save /no/such/folder/x"):
                with self.subTest(line):
                    _, errors = self.chat(server, line + "\n", status=1)
                    self.assertIn("glmoe: ", errors)
            self.assertEqual(server.bodies(), [])

    def test_a_server_that_is_not_there_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.refused(["chat", "--base_url", f"http://127.0.0.1:{port}"], 1, f"127.0.0.1:{port}")
        with FakeServer(api_key="sesame") as server:
            self.refused(["chat", "--base_url", server.url], 1, "401", "--api_key")
            self.chat(server, "Hi\n", "--api_key", "sesame")
        self.refused(["chat", "--base_url", "nowhere"], 2, "--base_url")
        self.refused(["chat", "--base_url", "http://127.0.0.1:1", "--model", "x"], 2, "--model")


class Terminal:
    """The program on a pseudo-terminal of its own, which ctrl-C comes from."""

    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(BINARY, [BINARY, *arguments])
        self.text = ""

    def read_until(self, wanted, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while wanted not in self.text:
            if time.monotonic() > deadline:
                raise AssertionError(f"{wanted!r} did not come: {self.text!r}")
            try:
                if select.select([self.fd], [], [], 1)[0]:
                    self.text += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:  # the program has ended
                raise AssertionError(f"{wanted!r} did not come: {self.text!r}") from None

    def type(self, text):
        os.write(self.fd, text.encode())

    def interrupt(self):
        """Ctrl-C; what was typed before the prompt comes again is thrown away with it."""
        self.text = ""
        self.type("\x03")
        self.read_until("> ")
        self.text = ""

    def end(self):
        self.type("\x04")
        try:
            while select.select([self.fd], [], [], 30)[0]:
                if not os.read(self.fd, 4096):
                    break
            else:
                os.kill(self.pid, signal.SIGKILL)  # the exit status then says so
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class ByTerminal(unittest.TestCase):
    def test_ctrl_c_stops_the_answer_and_not_the_program(self):
        with FakeServer(itl_ms=50, num_tokens=100000) as server:
            terminal = Terminal("chat", "--base_url", server.url)
            terminal.read_until("> ")
            terminal.type("Hi\n")
            terminal.read_until("w3 ")
            terminal.interrupt()
            deadline = time.monotonic() + 30
            while server.open > 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertEqual(server.open, 0, "the server still answers")
            terminal.type("Again\n")
            terminal.read_until("w1 ")
            terminal.interrupt()
            self.assertEqual(terminal.end(), 0)
            roles = [m["role"] for m in server.bodies()[-1]["messages"]]
        self.assertEqual(roles, ["user", "assistant", "user"])

    def test_ctrl_c_at_the_prompt_throws_the_line_away(self):
        with FakeServer(text="yes") as server:
            terminal = Terminal("chat", "--base_url", server.url)
            terminal.read_until("> ")
            terminal.type('"""\nhalf\n')
            terminal.read_until("... ")
            terminal.interrupt()
            terminal.type("Hi\n")
            terminal.read_until("yes")
            self.assertEqual(terminal.end(), 0)
            self.assertEqual(server.bodies()[-1]["messages"], [{"role": "user", "content": "Hi"}])

    def test_reasoning_is_dimmed_and_control_characters_are_left_out(self):
        with FakeServer(text="hm\x1b]0;x\x07ok", reasoning=2) as server:
            terminal = Terminal("chat", "--base_url", server.url)
            terminal.read_until("> ")
            terminal.type("Hi\n")
            terminal.read_until("ok")
            self.assertEqual(terminal.end(), 0)
        self.assertIn("\x1b[2mh", terminal.text)
        self.assertNotIn("\x1b]", terminal.text)
        self.assertIn("]0;xok", MARKS.sub("", terminal.text))


if __name__ == "__main__":
    unittest.main()
