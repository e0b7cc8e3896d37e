"""Keys, names, themes and sizes of the page in a real browser."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixture import PHONE, WIDE, PageTest, run
from webdriver import Keys


class KeyboardTest(PageTest):
    def focus(self):
        return self.js("const a = document.activeElement;"
                       "return a.id || a.getAttribute('aria-label') || a.textContent")

    def test_whole_talk_without_a_pointer(self):
        self.load()
        self.assertEqual(self.focus(), "input")
        self.browser.type("line one")
        self.browser.press(Keys.SHIFT, Keys.ENTER)
        self.browser.type("two")
        self.assertEqual(self.count(".message"), 0)
        self.browser.press(Keys.ENTER)
        self.wait_for_end()
        self.assertEqual(self.server.requests[0]["messages"][0]["content"], "line one\ntwo")
        self.assertEqual(self.focus(), "input")
        self.browser.type("tool")
        self.browser.press(Keys.ENTER)
        self.wait_for_end()
        self.browser.until(lambda: self.focus() == "Result of get_weather", "the result has focus")
        self.browser.type("sun")
        self.browser.press(Keys.ENTER)
        self.assertEqual(self.focus(), "Result of get_time")
        self.browser.type("noon")
        self.browser.press(Keys.ENTER)
        self.wait_for_text("#thread > :last-child .content", "The tools said: sun, noon")
        self.wait_for_end()
        self.browser.press(Keys.ALT, "s")
        self.assertEqual(self.focus(), "set-system")
        self.browser.press(Keys.ESCAPE)
        self.assertEqual(self.focus(), "settings-toggle")
        self.browser.press("/")
        self.assertEqual(self.focus(), "input")
        self.browser.press(Keys.ALT, "n")
        self.assertEqual((self.focus(), self.count(".message")), ("input", 0))

    def test_tab_reaches_every_control_in_the_order_of_the_page(self):
        self.load()
        self.js("document.getElementById('skip').focus()")
        seen = []
        for _ in range(7):
            self.browser.press(Keys.TAB)
            seen.append(self.focus())
        self.assertEqual(seen, ["tab-chat", "tab-experts", "theme", "settings-toggle", "new-chat",
                                "input", "send"])

    def test_list_of_keys(self):
        self.load()
        self.js("document.activeElement.blur()")
        self.browser.press("?")
        self.assertTrue(self.browser.find("#keys").shown)
        self.browser.press(Keys.ESCAPE)
        self.assertFalse(self.browser.find("#keys").shown)

    def test_every_control_has_a_name(self):
        self.load()
        self.ask("tool")
        self.wait_for_end()
        self.browser.find("#settings-toggle").click()
        nameless = self.js("""
            return [...document.querySelectorAll('button, input, select, textarea, a')].filter((n) =>
              !n.textContent.trim() && !n.getAttribute('aria-label') && !(n.labels?.length > 0))
              .map((n) => n.outerHTML.slice(0, 80))""")
        self.assertEqual(nameless, [])

    def test_screen_readers_hear_begin_and_end_but_not_every_token(self):
        self.load()
        self.js("window.heard = []; new MutationObserver(() => window.heard.push("
                "document.querySelector('#announcer').textContent)).observe("
                "document.querySelector('#announcer'), {childList: true, characterData: true})")
        self.ask("plain")
        self.wait_for_end()
        self.assertRegex(" | ".join(self.js("return window.heard")),
                         r"^The model answers \| The answer is complete, \d+ tokens$")
        self.assertEqual(self.browser.find("#thread").attribute("aria-live"), "off")


class LookTest(PageTest):
    def background(self):
        return self.js("return getComputedStyle(document.body).backgroundColor")

    def contrast(self, selector):
        """Of an element's text and the nearest background under it (WCAG 2.1)."""
        return self.js("""
            const node = [...document.querySelectorAll(arguments[0])].at(-1);
            const parse = (c) => c.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) =>
              v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
              .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            let under = node;
            while (parse(getComputedStyle(under).backgroundColor)[3] === 0) {
              under = under.parentElement;
            }
            const [a, b] = [light(parse(getComputedStyle(node).color)),
                            light(parse(getComputedStyle(under).backgroundColor))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);""", selector)

    def test_theme_follows_the_system_and_can_be_chosen(self):
        self.load()
        light = self.background()
        self.browser.set_media(True, *WIDE)
        dark = self.background()
        self.assertNotEqual(light, dark)
        self.browser.find("#theme").click()
        self.assertEqual((self.background(), self.browser.find("#theme").attribute("aria-label")),
                         (light, "Theme: light"))
        self.browser.find("#theme").click()
        self.browser.set_media(False, *WIDE)
        self.assertEqual(self.background(), dark)
        self.load()
        self.assertEqual(self.background(), dark, "the choice is kept")
        self.browser.find("#theme").click()
        self.assertEqual(self.background(), light)

    def test_text_can_be_read_in_both_themes(self):
        for dark in (False, True):
            self.browser.set_media(dark, *WIDE)
            self.load()
            self.ask("rich")
            self.wait_for_end()
            for selector in (".assistant .content p", ".stats", ".reasoning summary", "#send",
                             ".user .plain", ".markdown a", ".code-head span", "#model-name"):
                with self.subTest(dark=dark, selector=selector):
                    self.assertGreaterEqual(self.contrast(selector), 4.5)

    def test_nothing_is_cut_off_at_any_size(self):
        for name, (width, height) in {"wide": WIDE, "phone": PHONE}.items():
            self.browser.set_media(False, width, height, phone=name == "phone")
            self.load()
            self.browser.press(Keys.ALT, "n")
            self.ask("rich")
            self.wait_for_end()
            for fragment in ("#chat", "#experts"):
                with self.subTest(size=name, view=fragment):
                    self.js("location.hash = arguments[0]", fragment)
                    if fragment == "#experts":
                        self.browser.until(lambda: self.count("#balance tbody tr") == 6, "rows")
                    self.assertLessEqual(self.js("return document.documentElement.scrollWidth"),
                                         width)
                    self.assertLessEqual(self.js("return document.documentElement.scrollHeight"),
                                         height)
                    self.shoot(f"{name}-{fragment[1:]}")
            self.js("location.hash = '#chat'")
            box = self.js("const r = document.querySelector('#send').getBoundingClientRect();"
                          "return [r.left, r.right, r.top, r.bottom]")
            self.assertTrue(0 <= box[0] and box[1] <= width and 0 <= box[2] and box[3] <= height,
                            box)
            self.browser.find("#settings-toggle").click()
            wide = self.js("""
                const panel = document.querySelector('#settings').getBoundingClientRect();
                return [...document.querySelectorAll('#settings input, #settings textarea')]
                  .filter((n) => n.getBoundingClientRect().right > panel.right).map((n) => n.id)""")
            self.assertEqual(wide, [])

    def test_list_of_chats_opens_over_a_phones_page(self):
        self.browser.set_media(False, *PHONE, phone=True)
        self.load()
        self.assertFalse(self.browser.find("#new-chat").shown)
        self.browser.find("#chats-toggle").click()
        self.assertTrue(self.browser.find("#new-chat").shown)
        self.browser.press(Keys.ESCAPE)
        self.assertFalse(self.browser.find("#new-chat").shown)


if __name__ == "__main__":
    sys.exit(run())
