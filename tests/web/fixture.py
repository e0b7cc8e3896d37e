"""What the tests of the page share: a browser, a stand-in server for each test, short ways to look.

Exit status 77, which ctest shows as skipped, where chromium or chromedriver is missing.
GLMOE_WEB_SCREENS names a folder for screenshots of what the tests saw.
"""
import os
import pathlib
import unittest

import webdriver
from stand_in import StandIn
from webdriver import Browser, Keys

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src/serve/web"
WIDE, PHONE = (1280, 800), (390, 844)


class PageTest(unittest.TestCase):
    """A browser for all tests of the class, a server and empty storage for each."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(*WIDE)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.server = StandIn()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.browser.console()
        self.browser.set_media(False, *WIDE)

    def load(self, server=None, fragment=""):
        self.browser.open("about:blank")  # another fragment alone would not load the page
        self.browser.open((server or self.server).url + fragment)
        self.browser.until(lambda: self.browser.run(
            "return document.documentElement.dataset.started"), "the page starts")

    def js(self, script, *arguments):
        return self.browser.run(script, *arguments)

    def ask(self, text):
        self.browser.find("#input").type(text, Keys.ENTER)

    def wait_for_end(self):
        self.browser.until(lambda: self.js("return document.querySelector('#stop').hidden"),
                           "the answer ends")

    def wait_for_text(self, selector, text):
        self.browser.until(lambda: text in (self.text(selector) or ""), f"{selector}: {text}")

    def text(self, selector):
        """Of the last element that the selector finds."""
        return self.js("return [...document.querySelectorAll(arguments[0])].at(-1)?.textContent",
                       selector)

    def count(self, selector):
        return self.js("return document.querySelectorAll(arguments[0]).length", selector)

    def set(self, name, value):
        self.js("const f = document.getElementById(arguments[0]); f.value = arguments[1];"
                "f.dispatchEvent(new Event('input')); f.dispatchEvent(new Event('change'));",
                name, value)

    def problems(self):
        """What the browser complained about, but for answers with an error's status and for pixels
        that a test reads back slowly."""
        return [line["message"] for line in self.browser.console()
                if line["level"] in ("SEVERE", "WARNING") and line["source"] not in ("network", "rendering")]

    def shoot(self, name):
        folder = os.environ.get("GLMOE_WEB_SCREENS")
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self.browser.screenshot(f"{folder}/{name}.png")


def run():
    """For `sys.exit`: runs the calling program's tests, or says what is missing for them."""
    problem = webdriver.missing()
    if problem:
        print(f"skipped: {problem}")
        return 77
    return 0 if unittest.main(exit=False, verbosity=2).result.wasSuccessful() else 1
