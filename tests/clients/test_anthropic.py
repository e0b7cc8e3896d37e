"""Anthropic's Python client against the server: messages whole and streamed, tools, errors."""
# Mirrors: src/serve/anthropic/api.h and what implements it
import unittest

import anthropic

from support import KEY, MODEL, WEATHER_SCHEMA, ServerTest

TOOLS = [{"name": "get_weather", "description": "Current weather of a city",
          "input_schema": WEATHER_SCHEMA}]


def user(text):
    return [{"role": "user", "content": text}]


class AnthropicTest(ServerTest):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=self.url, api_key=KEY, max_retries=0)
        self.addCleanup(self.client.close)

    # The client has no parameter for the sampling fields any more; the server takes them.
    @staticmethod
    def arguments(messages, fields):
        body = {"temperature": 0}
        for name in ("temperature", "top_p", "top_k"):
            if name in fields:
                body[name] = fields.pop(name)
        body.update(fields.pop("extra_body", {}))
        return {"model": MODEL, "messages": messages, "max_tokens": 64, "extra_body": body, **fields}

    def message(self, messages, **fields):
        return self.client.messages.create(**self.arguments(messages, fields))

    def stream(self, messages, **fields):
        return self.client.messages.stream(**self.arguments(messages, fields))


class Messages(AnthropicTest):
    def test_whole_message(self):
        message = self.message(user("What is the capital of Peru?"))
        self.assertEqual(message.type, "message")
        self.assertEqual(message.role, "assistant")
        self.assertEqual(message.model, MODEL)
        self.assertEqual([block.type for block in message.content], ["text"])
        self.assertIn("Lima", message.content[0].text)
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertGreater(message.usage.output_tokens, 3)
        self.assertGreater(message.usage.input_tokens + message.usage.cache_read_input_tokens, 5)

    def test_stream_adds_up_to_the_whole_message(self):
        whole = self.message(user("What is a violin?"))
        with self.stream(user("What is a violin?")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(final.content[0].text, whole.content[0].text)
        self.assertEqual(final.stop_reason, "end_turn")
        self.assertEqual(final.usage.output_tokens, whole.usage.output_tokens)

    def test_events_come_in_their_order(self):
        events = self.message(user("Hello!"), stream=True)
        types = [event.type for event in events if event.type != "ping"]
        self.assertEqual(types[0], "message_start")
        self.assertEqual(types[1], "content_block_start")
        self.assertEqual(types[-3:], ["content_block_stop", "message_delta", "message_stop"])
        self.assertEqual(set(types[2:-3]), {"content_block_delta"})

    def test_stop_sequence_and_length(self):
        message = self.message(user("Count to 12."), stop_sequences=["5"])
        self.assertEqual(message.stop_reason, "stop_sequence")
        self.assertEqual(message.stop_sequence, "5")
        self.assertNotIn("5", message.content[0].text)
        self.assertEqual(self.message(user("Count to 12."), max_tokens=4).stop_reason, "max_tokens")

    def test_system_blocks_and_prefill(self):
        system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        self.assertTrue(self.message(user("Hello!"), system=system).content)
        message = self.message(user("What is the capital of Peru?") + [
            {"role": "assistant", "content": "The capital of"}])
        self.assertIn("Lima", message.content[0].text)
        self.assertNotIn("The capital of", message.content[0].text)

    def test_count_tokens(self):
        counted = self.client.messages.count_tokens(model=MODEL, messages=user("Hello!"))
        usage = self.message(user("Hello!")).usage
        self.assertEqual(counted.input_tokens,
                         usage.input_tokens + (usage.cache_read_input_tokens or 0))

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).display_name, MODEL)


class Thinking(AnthropicTest):
    def test_thinking_is_a_block_of_its_own(self):
        # The demo model closes its thoughts at once; kept from that, it thinks to the end.
        closing = self.client.post("/tokenize", body={"prompt": "</think>"},
                                   cast_to=object)["tokens"][0]
        fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 24,
                  "extra_body": {"logit_bias": {str(closing): -100}}}
        message = self.message(user("What is a violin?"), **fields)
        self.assertEqual([block.type for block in message.content], ["thinking"])
        self.assertTrue(message.content[0].thinking)
        with self.stream(user("What is a violin?"), **fields) as stream:
            final = stream.get_final_message()
        self.assertEqual(final.content[0].thinking, message.content[0].thinking)
        self.assertEqual(final.content[0].signature, message.content[0].signature)
        # The block goes back as it came.
        again = user("What is a violin?") + [
            {"role": "assistant", "content": [message.content[0].model_dump(),
                                              {"type": "text", "text": "A violin."}]}] + user("Hello!")
        self.assertTrue(self.message(again).content)


class Tools(AnthropicTest):
    def check_call(self, message):
        self.assertEqual(message.stop_reason, "tool_use")
        block = message.content[-1]
        self.assertEqual(block.type, "tool_use")
        self.assertEqual(block.name, "get_weather")
        self.assertEqual(block.input, {"city": "Lisbon"})
        return block

    def test_two_turns(self):
        messages = user("What is the weather in Lisbon?")
        message = self.message(messages, tools=TOOLS)
        block = self.check_call(message)
        messages += [{"role": "assistant", "content": [b.model_dump() for b in message.content]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id,
                                                   "content": "sunny, 21 degrees"}]}]
        message = self.message(messages, tools=TOOLS)
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertEqual(message.content[0].type, "text")

    def test_streamed_call(self):
        with self.stream(user("What is the weather in Lisbon?"), tools=TOOLS) as stream:
            self.check_call(stream.get_final_message())

    def test_tool_choice(self):
        question = user("What is the weather in Lisbon?")
        for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"},
                       {"type": "auto", "disable_parallel_tool_use": True}):
            self.check_call(self.message(question, tools=TOOLS, tool_choice=choice))
        message = self.message(question, tools=TOOLS, tool_choice={"type": "none"})
        self.assertNotIn("tool_use", [block.type for block in message.content])


class Errors(AnthropicTest):
    def test_bad_fields(self):
        for fields, name in (({"temperature": -1}, "temperature"), ({"max_tokens": 0}, "max_tokens"),
                             ({"messages": []}, "messages")):
            with self.subTest(name), self.assertRaises(anthropic.BadRequestError) as caught:
                self.message(**{"messages": user("hi"), **fields})
            self.assertEqual(caught.exception.body["type"], "error")
            self.assertEqual(caught.exception.body["error"]["type"], "invalid_request_error")
            self.assertIn(name, caught.exception.body["error"]["message"])

    def test_unknown_model_and_wrong_key(self):
        with self.assertRaises(anthropic.NotFoundError) as caught:
            self.message(user("hi"), model="claude")
        self.assertEqual(caught.exception.body["error"]["type"], "not_found_error")
        with self.assertRaises(anthropic.AuthenticationError) as caught:
            self.client.with_options(api_key="wrong").messages.count_tokens(
                model=MODEL, messages=user("hi"))
        self.assertEqual(caught.exception.body["error"]["type"], "authentication_error")

    def test_server_tools_are_refused_with_the_reason(self):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.message(user("hi"), tools=[{"type": "web_search_20250305", "name": "web_search"}])
        self.assertIn("tools[0].type", caught.exception.body["error"]["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
