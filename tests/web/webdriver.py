"""A small client of the WebDriver protocol (W3C) for headless Chromium, standard library only.

    with Browser() as browser:
        browser.open("http://127.0.0.1:8000/")
        browser.find("#input").type("hello", Keys.ENTER)
"""
import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
CHROMIUM = os.environ.get("GLMOE_CHROMIUM") or shutil.which("chromium")
CHROMEDRIVER = os.environ.get("GLMOE_CHROMEDRIVER") or shutil.which("chromedriver")
START_S = 60


def missing():
    """What has to be installed before these tests can run, or None."""
    if CHROMIUM and CHROMEDRIVER:
        return None
    return "no chromium or no chromedriver here: ./dev setup web installs both"


class Keys:
    ENTER, SHIFT, ALT, CONTROL, ESCAPE, TAB = (
        "\ue007", "\ue008", "\ue00a", "\ue009", "\ue00c", "\ue004")
    LEFT, UP, RIGHT, DOWN, SPACE = "\ue012", "\ue013", "\ue014", "\ue015", " "


class WebDriverError(Exception):
    pass


class Element:
    def __init__(self, browser, element_id):
        self.browser, self.id = browser, element_id

    def _call(self, method, path, body=None):
        return self.browser.call(method, f"/element/{self.id}{path}", body)

    def click(self):
        self._call("POST", "/click", {})

    def type(self, *texts):
        self._call("POST", "/value", {"text": "".join(texts)})

    def clear(self):
        self._call("POST", "/clear", {})

    @property
    def text(self):
        return self._call("GET", "/text")

    @property
    def shown(self):
        return self._call("GET", "/displayed")

    def get(self, name):
        return self._call("GET", f"/property/{name}")

    def attribute(self, name):
        return self.browser.run("return arguments[0].getAttribute(arguments[1])", self, name)

    def find(self, selector):
        return Element(self.browser, self._call(
            "POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])


class Browser:
    """One window of headless Chromium with an empty profile."""

    def __init__(self, width=1280, height=800, dark=False):
        self.driver = subprocess.Popen([CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
        try:
            self.base = f"http://127.0.0.1:{self._read_port()}"
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu",
                         "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                         "--lang=en-US", f"--window-size={width},{height}"]
            options = {"binary": CHROMIUM, "args": arguments}
            capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                            "goog:loggingPrefs": {"browser": "ALL"}}
            answer = self._send("POST", "/session",
                                {"capabilities": {"alwaysMatch": capabilities}})
            self.session = answer["sessionId"]
            self.set_media(dark, width, height)
        except BaseException:
            self.driver.kill()
            self.driver.wait()
            raise

    def _read_port(self):
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                return int(found.group(1))
        raise WebDriverError("chromedriver ended without saying its port")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self._send("DELETE", f"/session/{self.session}")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            self.driver.stdout.close()

    def _send(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=START_S) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message'].splitlines()[0]}") from None

    def call(self, method, path, body=None):
        return self._send(method, f"/session/{self.session}{path}", body)

    def cdp(self, command, **parameters):
        """A command of the Chrome DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def set_media(self, dark, width, height, phone=False):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=phone)
        self.cdp("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def find(self, selector):
        return Element(self, self.call("POST", "/element",
                                       {"using": "css selector", "value": selector})[ELEMENT])

    def all(self, selector):
        return [Element(self, found[ELEMENT]) for found in self.call(
            "POST", "/elements", {"using": "css selector", "value": selector})]

    def run(self, script, *arguments):
        """What a script's `return` gives."""
        sent = [{ELEMENT: a.id} if isinstance(a, Element) else a for a in arguments]
        return self.call("POST", "/execute/sync", {"script": script, "args": sent})

    def press(self, *keys):
        """Keys pressed together, on whatever has the focus."""
        actions = [{"type": "keyDown", "value": key} for key in keys]
        actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.call("POST", "/actions",
                  {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def type(self, text):
        """Characters one after the other, on whatever has the focus."""
        for character in text:
            self.press(character)

    def until(self, condition, what, seconds=20):
        """Waits until `condition()` is true, and gives what it returned."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain: {what}")
            time.sleep(0.03)

    def console(self):
        """Lines of the browser's console since the last call, as dictionaries."""
        return self.call("POST", "/se/log", {"type": "browser"})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))
