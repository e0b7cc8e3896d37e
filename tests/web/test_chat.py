"""The chat view in a real browser, against a server that imitates `glmoe serve` (stand_in.py)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixture import SOURCES, PageTest, run
from stand_in import HOSTILE, RICH, StandIn
from webdriver import Keys


class ChatTest(PageTest):
    def test_page_loads_without_a_word_on_the_console(self):
        self.load()
        self.wait_for_text("#model-name", "glm4-moe-demo")
        self.assertEqual(self.problems(), [])
        loaded = self.js("return performance.getEntriesByType('resource').map((e) => e.name)")
        self.assertTrue(loaded)
        self.assertEqual([url for url in loaded if not url.startswith(self.server.url)], [])

    def test_answer_streams_and_says_its_speed(self):
        self.load()
        self.ask("slow please")
        self.browser.until(lambda: "word3" in (self.text(".assistant .content.markdown") or ""),
                           "the first words appear")
        self.assertTrue(self.browser.find("#stop").shown, "the answer still comes")
        self.assertNotIn("word590", self.text(".assistant"))
        self.browser.find("#stop").click()
        self.wait_for_end()
        self.assertRegex(self.text(".stats"), r"\d+ tokens.*[\d.]+ tok/s.*first [\d.]+ s.*total")
        self.assertIn("prompt 21, 16 cached", self.text(".stats"))

    def test_stopping_aborts_the_request_and_keeps_what_came(self):
        self.load()
        self.ask("slow please")
        self.browser.until(lambda: "word2" in (self.text(".assistant") or ""), "words appear")
        self.browser.press(Keys.ESCAPE)
        self.wait_for_end()
        self.assertTrue(self.server.aborted.wait(10), "the server sees the connection close")
        self.assertIn("word1", self.text(".assistant .content"))
        self.assertIn("stopped", self.text(".stats"))
        self.assertEqual(self.count(".assistant .error:not([hidden])"), 0)

    def test_text_of_all_kinds_arrives_whole(self):
        self.load()
        self.ask("plain")
        self.wait_for_text(".assistant .content", "You said: plain – grüße, 漢字 🙂.")
        self.wait_for_end()
        self.ask("crlf")
        self.wait_for_text(".assistant:last-child .content", "täil")

    def test_reasoning_is_folded_away_with_its_time_and_tokens(self):
        self.load()
        self.ask("think about it")
        self.wait_for_end()
        summary = self.browser.find(".reasoning summary")
        self.assertRegex(summary.text, r"^Thought · \d+\.\d+ s · 7 tokens$")
        self.assertFalse(self.browser.find(".reasoning .content").shown)
        self.assertEqual(self.text(".assistant .body > .content"), "The answer is 42.")
        summary.click()
        self.browser.until(lambda: self.browser.find(".reasoning .content").shown, "it unfolds")
        self.assertEqual(self.text(".reasoning .content"),
                         "First I weigh one thing, then another.")

    def test_markdown_becomes_elements(self):
        self.load()
        self.ask("rich")
        self.wait_for_end()
        body = ".assistant .body > .content "
        for selector, text in (("strong", "mixture of experts"), ("em", "router"),
                               ("ol > li > ul > li", "a bias steers the balance, but not the weights"),
                               ("li code", "k"), ("td.right", "8")):
            self.assertEqual(self.text(body + selector), text)
        self.assertEqual(self.count(body + "table tbody tr"), 2)
        self.assertIn("    scores = sigmoid(x @ weight.T)\n", self.text(body + "pre"))
        link = self.browser.find(body + "a")
        self.assertEqual(link.attribute("href"), "https://arxiv.org/abs/2508.06471")
        self.assertIn("noopener", link.attribute("rel"))

    def test_hostile_output_is_shown_and_does_nothing(self):
        self.load()
        self.ask("hostile")
        self.wait_for_end()
        self.browser.find(".reasoning summary").click()
        self.browser.until(lambda: "<script>" in self.text(".reasoning .content"), "it unfolds")
        self.assertIsNone(self.js("return window.hacked ?? null"))
        self.assertEqual(self.count("#thread img, #thread script, #thread iframe, #thread svg[onload]"),
                         0)
        targets = self.js("return [...document.querySelectorAll('#thread a')].map((a) => a.href)")
        self.assertEqual(set(targets), {"https://example.org/a?b=1", "http://example.org/plain",
                                        "https://example.org/pixel.png"})
        handlers = self.js("return [...document.querySelectorAll('#thread *')].some((n) => "
                           "n.getAttributeNames().some((name) => name.startsWith('on')))")
        self.assertFalse(handlers)
        self.assertIn(HOSTILE.splitlines()[0], self.text(".assistant .body > .content"))
        self.assertEqual(self.problems(), [])  # the policy had nothing to stop

    def test_policy_stops_what_the_page_would_let_through(self):
        self.load()
        self.js("const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
                "document.body.append(s);"
                "const b = document.createElement('button'); b.setAttribute('onclick', "
                "'window.hacked = 1'); document.body.append(b); b.click();")
        self.assertIsNone(self.js("return window.hacked ?? null"))

    def test_sources_never_parse_html(self):
        for file in SOURCES.glob("*.js"):
            text = file.read_text(encoding="utf-8")
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                         "DOMParser", "eval(", "new Function"):
                self.assertNotIn(word, text, file.name)

    def test_no_text_makes_the_renderer_slow(self):
        """A pattern that backtracks would not come to an end before the driver's limit of 30 s."""
        self.load()
        texts = ["[" * 50000 + "](", "*a " * 30000, "_" * 50000, "`" * 50000, "`" + " `` " * 20000,
                 "# " + " " * 50000 + "x", "```" + " " * 50000 + "`", "a|b\n" + " " * 50000 + "x",
                 "a|b\n-" + " " * 50000 + "x", "- " * 50000, "> " * 50000, " " * 50000 + "x",
                 "a" + " " * 50000 + "x\n", "x\n" * 30000, "| " * 30000 + "\n" + "|-" * 30000,
                 "<http:" * 20000, "h" * 50000, "![" * 30000, "**a" * 30000, "` " + " " * 50000 + "x`"]
        done = self.js("""
            const {MarkdownView} = await import('/web/markdown.js');
            for (const text of arguments[0]) new MarkdownView().update(text);
            return arguments[0].length""", texts)
        self.assertEqual(done, len(texts))

    def test_growing_text_ends_as_if_it_had_come_at_once(self):
        self.load()
        differing = self.js("""
            const {MarkdownView} = await import('/web/markdown.js');
            return arguments[0].filter((text) => {
              const [grown, whole] = [new MarkdownView(), new MarkdownView()];
              for (let end = 0; end <= text.length; ++end) grown.update(text.slice(0, end));
              whole.update(text);
              return !grown.element.isEqualNode(whole.element);
            })""", [HOSTILE, RICH])
        self.assertEqual(differing, [])

    def test_tool_call_is_shown_answered_and_continued(self):
        self.load()
        self.set("set-tools", '[{"type": "function", "function": {"name": "get_weather"}}]')
        self.ask("tool What is the weather?")
        self.wait_for_end()
        self.assertEqual([e.text for e in self.browser.all(".call header strong")],
                         ["get_weather", "get_time"])
        self.assertEqual(self.js("return document.querySelector('.call pre').textContent"),
                         '{\n  "city": "Oslo",\n  "days": 2\n}')
        self.shoot("tools")
        first, second = self.browser.all(".call textarea")
        first.type("rain", Keys.ENTER)  # the second is still empty
        self.assertEqual(self.count(".assistant"), 1)
        second.type("noon")
        self.browser.find(".send-results").click()
        self.wait_for_text("#thread > :last-child .content", "The tools said: rain, noon")
        sent = self.server.requests[1]
        self.assertEqual([m["role"] for m in sent["messages"]],
                         ["user", "assistant", "tool", "tool"])
        call = sent["messages"][1]["tool_calls"][0]
        self.assertEqual((call["id"], call["function"]["name"]), ("call_0", "get_weather"))
        self.assertEqual(call["function"]["arguments"], '{"city": "Oslo", "days": 2}')
        self.assertEqual(sent["messages"][2],
                         {"role": "tool", "tool_call_id": "call_0", "content": "rain"})
        self.assertEqual(sent["tools"][0]["function"]["name"], "get_weather")

    def test_call_that_was_cut_short_is_not_sent_back(self):
        self.load()
        self.ask("cut")
        self.wait_for_end()
        self.assertIn("incomplete", self.text(".call .note"))
        self.assertFalse(self.browser.find(".call .result").shown)
        self.ask("plain again")
        self.wait_for_text(".assistant:last-child .content", "You said")
        self.assertEqual([m["role"] for m in self.server.requests[1]["messages"]], ["user", "user"])

    def test_settings_are_sent_and_empty_ones_are_not(self):
        self.load()
        self.ask("plain")
        self.wait_for_end()
        self.assertEqual(set(self.server.requests[0]), {"stream", "stream_options", "messages"})
        values = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "max_tokens": 99,
                  "seed": 7, "repetition_penalty": 1.1, "presence_penalty": -0.5,
                  "frequency_penalty": 0.25}
        for name, value in values.items():
            self.set(f"set-{name}", str(value))
        self.set("set-stop", "END\n\nSTOP")
        self.set("set-system", "Be brief.")
        self.set("set-thinking", "off")
        self.load()  # they are kept
        self.ask("plain again")
        self.wait_for_text(".assistant:last-child .content", "again")
        sent = self.server.requests[1]
        self.assertEqual({name: sent.get(name) for name in values}, values)
        self.assertEqual(sent["stop"], ["END", "STOP"])
        self.assertEqual(sent["chat_template_kwargs"], {"enable_thinking": False})
        self.assertEqual(sent["messages"][0], {"role": "system", "content": "Be brief."})

    def test_wrong_setting_is_named_and_nothing_is_sent(self):
        for name, value in (("top_p", "0"), ("top_k", "1.5"), ("temperature", "warm"),
                            ("tools", '{"no": "array"}'), ("tools", "[{]")):
            with self.subTest(setting=name, value=value):
                self.load()
                self.set(f"set-{name}", value)
                self.ask("plain")
                field = self.browser.find(f"#set-{name}")
                self.assertEqual(field.attribute("aria-invalid"), "true")
                self.assertTrue(self.browser.find(f"#set-{name}-problem").shown)
                self.assertTrue(self.js("return document.activeElement.id") == f"set-{name}")
                self.assertEqual(self.browser.find("#input").get("value"), "plain")
                self.browser.find("#settings-reset").click()
        self.assertEqual(self.server.requests, [])

    def test_refusals_and_broken_streams_are_shown(self):
        for word, said in (("refuse", "temperature: a number was wanted"),
                           ("break", "The connection was closed before the answer ended."),
                           ("fail", "the engine has failed: GPU lost")):
            with self.subTest(word=word):
                self.load()
                self.browser.press(Keys.ALT, "n")
                self.ask(word)
                self.wait_for_end()
                self.assertIn(said, self.text(".assistant .error"))
                self.assertTrue(self.browser.find(".assistant .error").shown)

    def test_unreachable_server_is_said(self):
        gone = StandIn()
        self.load(gone)
        gone.shutdown()
        gone.server_close()
        self.ask("plain")
        self.wait_for_text(".assistant .error", "The server cannot be reached")

    def test_answer_again_edit_and_copy(self):
        self.load()
        self.ask("plain one")
        self.wait_for_end()
        self.ask("plain two")
        self.wait_for_text(".assistant:last-child .content", "two")
        self.wait_for_end()
        self.browser.all("[aria-label='Answer again']")[-1].click()
        self.wait_for_end()
        self.assertEqual(len(self.server.requests), 3)
        self.assertEqual(self.server.requests[1]["messages"], self.server.requests[2]["messages"])
        self.js("document.querySelector('[aria-label^=\"Edit message\"]').click()")
        area = self.browser.find("textarea.edit")
        area.clear()
        area.type("plain three", Keys.ENTER)
        self.wait_for_text(".assistant .content", "You said: plain three")
        self.wait_for_end()
        self.assertEqual(self.server.requests[3]["messages"],
                         [{"role": "user", "content": "plain three"}])
        self.assertEqual(self.count(".message"), 2)
        self.browser.cdp("Browser.grantPermissions", origin=self.server.url.rstrip("/"),
                         permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.browser.find("[aria-label='Copy answer']").click()
        self.wait_for_text("#announcer", "Copied")

    def test_chats_are_kept_and_deleted_with_a_way_back(self):
        self.load()
        self.ask("plain first chat")
        self.wait_for_end()
        self.browser.press(Keys.ALT, "n")
        self.assertEqual(self.count(".message"), 0)
        self.ask("plain second chat")
        self.wait_for_end()
        self.load()
        names = lambda: [e.text for e in self.browser.all(".chat-name")]
        self.assertEqual(names(), ["plain second chat", "plain first chat"])
        self.browser.all(".chat-name")[1].click()
        self.wait_for_text(".assistant .content", "first chat")
        self.js("document.querySelector('[aria-label=\"Delete chat plain first chat\"]').click()")
        self.assertEqual(names(), ["plain second chat"])
        self.browser.find("#toast button").click()
        self.assertIn("plain first chat", names())
        self.browser.find("#delete-all").click()
        self.load()
        self.assertEqual(names(), [])
        self.assertEqual(self.js("return Object.keys(localStorage).filter((k) => "
                                 "k.startsWith('glmoe.chat.'))"), [])

    def test_answer_goes_on_while_another_chat_is_looked_at(self):
        self.load()
        self.ask("slow please")
        self.browser.until(lambda: "word1" in (self.text(".assistant") or ""), "words appear")
        self.browser.press(Keys.ALT, "n")
        self.ask("plain meanwhile")
        self.wait_for_text(".assistant .content", "meanwhile")
        self.browser.all(".chat-name")[1].click()
        seen = self.text(".assistant .content")
        self.browser.until(lambda: len(self.text(".assistant .content")) > len(seen), "it grows")
        self.assertTrue(self.browser.find("#stop").shown)
        self.browser.find("#stop").click()
        self.wait_for_end()

    def test_reader_who_scrolled_up_is_left_in_peace(self):
        self.load()
        self.ask("long")
        self.wait_for_end()
        place = lambda: self.js("const m = document.querySelector('#messages');"
                                "return [m.scrollTop, m.scrollHeight - m.clientHeight]")
        at, end = place()
        self.assertGreater(end, 500)
        self.assertLess(end - at, 5)
        self.ask("slow please")
        self.browser.until(lambda: "word1" in self.text(".assistant:last-child"), "words appear")
        self.js("document.querySelector('#messages').scrollTop = 0")
        before = self.text(".assistant:last-child")
        self.browser.until(lambda: self.text(".assistant:last-child") != before, "it grows")
        self.assertEqual(place()[0], 0)
        self.browser.find("#to-end").click()
        self.assertGreater(place()[0], 500)
        self.browser.press(Keys.ESCAPE)
        self.wait_for_end()

    def test_key_is_asked_for_sent_and_not_kept_for_good(self):
        server = StandIn(api_key="s3cret")
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.load(server)
        self.wait_for_text("#status", "An API key is needed")
        self.assertEqual(self.js("return document.activeElement.id"), "set-key")
        self.browser.find("#set-key").type("s3cret", Keys.TAB)
        self.wait_for_text("#model-name", "glm4-moe-demo")
        self.ask("plain")
        self.wait_for_text(".assistant .content", "You said: plain")
        self.assertEqual(self.js("return JSON.stringify(localStorage).includes('s3cret')"), False)
        self.assertEqual(self.js("return sessionStorage.getItem('glmoe.api_key')"), "s3cret")

    def test_server_that_still_loads_is_waited_for(self):
        self.server.phase = "loading"
        self.load()
        self.wait_for_text("#status", "The server is loading")
        self.server.phase = "ready"
        self.wait_for_text("#model-name", "glm4-moe-demo")
        self.assertEqual(self.text("#status"), "")


if __name__ == "__main__":
    sys.exit(run())
