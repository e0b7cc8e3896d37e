"""The web page of `glmoe serve` itself with the demo model: what the others test with an imitation.

GLMOE_BINARY and GLMOE_MODELS say what runs. Exit status 77 where chromium or chromedriver is missing.
"""
import os
import pathlib
import re
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixture import run
from webdriver import Browser, Keys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("GLMOE_BINARY", str(ROOT / "build/bin/glmoe"))
MODELS = os.environ.get("GLMOE_MODELS", str(ROOT / "models"))


class Server:
    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--model", f"{MODELS}/glm4-moe-demo", "--port", "0", "--admin_port",
             "0", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        line = self.process.stdout.readline()
        found = re.match(r"ready (\S+) admin (\S+)", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"glmoe serve did not get ready: {''.join(self.log)}")
        self.url, self.admin_url = found.group(1), found.group(2)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


class RealServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)
        cls.server = Server("--enable_expert_view")
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.browser.console()

    def load(self, url):
        self.browser.open("about:blank")
        self.browser.open(url)
        self.browser.until(lambda: self.js("return document.documentElement.dataset.started"),
                           "the page starts")

    def js(self, script, *arguments):
        return self.browser.run(script, *arguments)

    def text(self, selector):
        return self.js("return [...document.querySelectorAll(arguments[0])].at(-1)?.textContent",
                       selector) or ""

    def ask(self, text):
        self.browser.press(Keys.ALT, "n")
        self.browser.find("#input").type(text, Keys.ENTER)
        self.browser.until(lambda: self.js("return document.querySelector('#stop').hidden"),
                           "the answer ends", 60)
        self.assertEqual(self.js("return document.querySelectorAll('.error:not([hidden])').length"),
                         0, self.text(".error"))

    def set(self, name, value):
        self.js("const f = document.getElementById(arguments[0]); f.value = arguments[1];"
                "f.dispatchEvent(new Event('input'))", name, value)

    def problems(self):
        return [line["message"] for line in self.browser.console()
                if line["level"] in ("SEVERE", "WARNING")]

    def shoot(self, name):
        folder = os.environ.get("GLMOE_WEB_SCREENS")
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.screenshot(f"{folder}/real-{name}.png")

    def test_model_answers_with_numbers(self):
        self.load(self.server.url)
        self.browser.until(lambda: self.text("#model-name") == "glm4-moe-demo", "the model's name")
        self.set("set-temperature", "0")
        self.set("set-thinking", "on")  # the demo model leaves its reasoning empty
        self.ask("What is a violin?")
        self.shoot("chat")
        self.assertEqual(self.text(".assistant .reasoning summary"), "")
        self.assertIn("violin", self.text(".assistant .body > .content"))
        self.assertRegex(self.text(".stats"), r"\d+ tokens.*tok/s.*first.*total.*prompt \d+.*ended")
        self.set("set-thinking", "off")
        self.ask("What is a violin?")
        self.assertEqual(self.text(".assistant .reasoning summary"), "")
        self.assertIn("violin", self.text(".assistant .body > .content"))
        self.assertEqual(self.problems(), [])

    def test_servers_own_refusal_is_shown(self):
        self.load(self.server.url)
        self.set("set-stop", "x" * 2000)
        self.browser.press(Keys.ALT, "n")
        self.browser.find("#input").type("What is a violin?", Keys.ENTER)
        self.browser.until(lambda: "stop" in self.text(".assistant .error"), "the refusal")
        self.js("document.querySelector('#settings-reset').click()")

    def test_experts_move_while_the_model_answers(self):
        self.load(self.server.url + "#experts")
        self.js("const s = document.querySelector('#experts-span'); s.value = 'total';"
                "s.dispatchEvent(new Event('change'))")
        tokens = lambda: self.js("return [...document.querySelectorAll('#balance tbody tr')].map("
                                 "(row) => Number(row.cells[1].textContent.replaceAll(',', '')))")
        before = self.browser.until(tokens, "the counts")
        self.js("location.hash = '#chat'")
        self.ask("What is a violin?")
        self.js("location.hash = '#experts'")
        self.browser.until(lambda: all(now > old for now, old in zip(tokens(), before)),
                           "every layer's experts got tokens")
        self.shoot("experts")
        self.assertEqual(self.problems(), [])

    def test_admin_port_shows_the_same_counts_and_no_chat(self):
        self.load(self.server.admin_url)
        self.browser.until(lambda: self.js(
            "return document.querySelectorAll('#balance tbody tr').length"), "the counts")
        self.assertEqual(self.text("#status"), "Admin port")
        self.assertTrue(self.js("return document.querySelector('#input').disabled"))

    def test_data_port_keeps_the_counts_to_itself_unless_told(self):
        server = Server()
        self.addCleanup(server.stop)
        self.load(server.url + "#experts")
        self.browser.until(lambda: "admin port" in self.text("#experts-note"), "the explanation")
        status = self.js("return (await fetch('experts')).status")
        self.assertEqual(status, 404)


if __name__ == "__main__":
    sys.exit(run())
