"""The expert view in a real browser, against a server that imitates `glmoe serve` (stand_in.py)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixture import PageTest, run
from webdriver import Keys


class ExpertsTest(PageTest):
    def row(self, index):
        return self.js("return [...document.querySelectorAll('#balance tbody tr')[arguments[0]]"
                       ".children].slice(0, 4).map((n) => n.textContent)", index)

    def show(self, span):
        self.js("const s = document.querySelector('#experts-span'); s.value = arguments[0];"
                "s.dispatchEvent(new Event('change'))", span)

    def test_map_and_balance_show_what_was_added_between_polls(self):
        added = [[2] * 16 for _ in range(6)]
        added[2] = [0] * 15 + [64]
        self.server.next_counts = added
        self.load(fragment="#experts")
        self.browser.until(lambda: self.server.polls >= 2 and self.row(2)[1] == "64", "a second poll")
        self.assertEqual(self.row(0), ["1", "32", "1.00", "0 / 16"])
        self.assertEqual(self.row(2), ["3", "64", "16.00", "15 / 16"])
        self.assertIn("16.00 in layer 3", self.text("#experts-summary"))
        self.browser.until(lambda: self.count(".sparkline polyline") == 6, "a course of two polls")
        # The pixel of the loaded expert differs from that of an idle one.
        pixel = """const map = document.querySelector('#map'), c = map.getContext('2d');
                   const cell = (map.width - 30) / 16, high = (map.height - 18) / 6;
                   return [...c.getImageData(30 + (arguments[0] + 0.5) * cell, 2.5 * high, 1, 1).data]"""
        self.assertNotEqual(self.js(pixel, 15), self.js(pixel, 14))
        self.assertEqual(self.js(pixel, 13), self.js(pixel, 14))
        self.assertEqual(self.problems(), [])

    def test_counts_are_read_out_with_keys_and_pointer(self):
        self.server.next_counts = [[10 * i + j for j in range(16)] for i in range(6)]
        self.load(fragment="#experts")
        self.browser.until(lambda: self.server.polls >= 2 and self.count("#balance tbody tr"), "polls")
        self.browser.find("#experts-pause").click()
        self.js("document.querySelector('#map').focus()")
        self.wait_for_text("#map-readout", "Layer 1, expert 0: 0 tokens")
        self.browser.press(Keys.DOWN)
        self.browser.press(Keys.RIGHT)
        self.browser.press(Keys.RIGHT)
        self.wait_for_text("#map-readout", "Layer 2, expert 2: 12 tokens, 0.69 × the mean")
        self.js("""const map = document.querySelector('#map');
            const cell = (map.clientWidth - 30) / 16, high = (map.clientHeight - 18) / 6;
            const box = map.getBoundingClientRect();
            map.dispatchEvent(new PointerEvent('pointermove', {
              clientX: box.left + 30 + 15.5 * cell, clientY: box.top + 5.5 * high}))""")
        self.wait_for_text("#map-readout", "Layer 6, expert 15: 65 tokens")

    def test_spans_add_up(self):
        self.server.next_counts = [[1] * 16 for _ in range(6)]
        self.load(fragment="#experts")
        self.browser.until(lambda: self.server.polls >= 3, "three polls")
        self.browser.find("#experts-pause").click()
        self.browser.until(lambda: self.row(0)[1] == "16", "the last poll is shown")
        polls = self.server.polls
        for span in ("minute", "opened"):
            self.show(span)
            self.assertEqual(self.row(0)[1], str(16 * (polls - 1)))
        self.show("total")
        self.assertEqual(self.row(0)[1].replace(",", ""), str(sum(range(16)) * 1000 + 16 * polls))

    def test_restarted_server_begins_anew(self):
        self.load(fragment="#experts")
        self.browser.until(lambda: self.server.polls >= 2, "polls")
        self.server.counts = [[0] * 16 for _ in range(6)]
        self.server.next_counts = [[3] * 16 for _ in range(6)]
        self.browser.until(lambda: self.row(0)[1] == "48", "the new server's counts")

    def test_polls_only_while_it_is_looked_at(self):
        self.load(fragment="#experts")
        self.browser.until(lambda: self.server.polls >= 1, "a poll")
        self.js("location.hash = '#chat'")
        self.browser.until(lambda: not self.browser.find("#experts-view").shown, "the chat")
        self.js("await new Promise((done) => setTimeout(done, 200))")
        before = self.server.polls
        self.js("await new Promise((done) => setTimeout(done, 1600))")
        self.assertEqual(self.server.polls, before)

    def test_rate_is_kept(self):
        self.load(fragment="#experts")
        self.js("const s = document.querySelector('#experts-rate'); s.value = '500';"
                "s.dispatchEvent(new Event('change'))")
        self.load(fragment="#experts")
        self.assertEqual(self.browser.find("#experts-rate").get("value"), "500")

    def test_port_without_counts_says_where_they_are(self):
        self.server.config = {"chat": True, "experts": None}
        self.load(fragment="#experts")
        self.wait_for_text("#experts-note", "admin port")
        self.assertIn("--enable_expert_view", self.text("#experts-note"))
        self.assertEqual(self.server.polls, 0)

    def test_admin_port_opens_with_the_experts(self):
        self.server.config = {"chat": False, "experts": "experts"}
        self.load()
        self.browser.until(lambda: self.count("#balance tbody tr") == 6, "the experts")
        self.assertEqual(self.text("#status"), "Admin port")


if __name__ == "__main__":
    sys.exit(run())
