"""OpenAI's Python client against the server: every end point, whole and streamed."""
# Mirrors: src/serve/openai/api.h and what implements it
import json
import math
import unittest

import openai

from support import KEY, MODEL, WEATHER_SCHEMA, ServerTest

NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
TOOLS = [{"type": "function", "function": {"name": "get_weather",
                                           "description": "Current weather of a city",
                                           "parameters": WEATHER_SCHEMA}}]


def user(text):
    return [{"role": "user", "content": text}]


class OpenAiTest(ServerTest):
    def setUp(self):
        self.client = openai.OpenAI(base_url=self.url + "/v1", api_key=KEY, max_retries=0)
        self.addCleanup(self.client.close)

    def chat(self, messages, body=None, **fields):
        fields = {"temperature": 0, "max_tokens": 64, **fields}
        return self.client.chat.completions.create(
            model=MODEL, messages=messages, extra_body={**NO_THINKING, **(body or {})}, **fields)

    def token_id(self, text):
        answer = self.client.with_options(base_url=self.url).post(
            "/tokenize", body={"prompt": text}, cast_to=object)
        self.assertEqual(answer["count"], 1)
        return answer["tokens"][0]


class Chats(OpenAiTest):
    def test_whole_answer(self):
        answer = self.chat(user("What is the capital of Peru?"))
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.model, MODEL)
        choice = answer.choices[0]
        self.assertEqual(choice.message.role, "assistant")
        self.assertIn("Lima", choice.message.content)
        self.assertIsNone(choice.message.tool_calls)
        self.assertEqual(choice.finish_reason, "stop")
        self.assertGreater(answer.usage.prompt_tokens, 5)
        self.assertEqual(answer.usage.total_tokens,
                         answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertGreaterEqual(answer.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertEqual(answer.usage.completion_tokens_details.reasoning_tokens, 0)

    def test_stream_adds_up_to_the_whole_answer(self):
        whole = self.chat(user("What is a violin?"))
        text, reasons, usage = "", [], None
        for chunk in self.chat(user("What is a violin?"), stream=True,
                               stream_options={"include_usage": True}):
            if chunk.usage is not None:
                usage = chunk.usage
                self.assertEqual(chunk.choices, [])
            for choice in chunk.choices:
                text += choice.delta.content or ""
                if choice.finish_reason:
                    reasons.append(choice.finish_reason)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(reasons, ["stop"])
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_length_stop_and_several_answers(self):
        answer = self.chat(user("What is a violin?"), max_tokens=3)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 3)
        whole = self.chat(user("Count to 12.")).choices[0].message.content
        answer = self.chat(user("Count to 12."), stop=["5"])
        self.assertEqual(answer.choices[0].message.content, whole[:whole.index("5")])
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.choices[0].stop_reason, "5")
        answer = self.chat(user("Hello!"), n=3, temperature=1, seed=5)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        again = self.chat(user("Hello!"), n=3, temperature=1, seed=5)
        self.assertEqual([c.message.content for c in answer.choices],
                         [c.message.content for c in again.choices])

    def test_streamed_answers_have_their_index(self):
        texts = {}
        for chunk in self.chat(user("Hello!"), n=2, temperature=1, seed=5, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        whole = self.chat(user("Hello!"), n=2, temperature=1, seed=5)
        self.assertEqual(texts, {c.index: c.message.content for c in whole.choices})

    def test_logprobs(self):
        answer = self.chat(user("What is 17 + 25?"), logprobs=True, top_logprobs=3)
        content = answer.choices[0].logprobs.content
        self.assertEqual(len(content), answer.usage.completion_tokens)
        for entry in content:
            self.assertLessEqual(entry.logprob, 0)
            self.assertEqual(len(entry.top_logprobs), 3)
            self.assertEqual(entry.top_logprobs[0].token, entry.token)  # greedy
            logprobs = [top.logprob for top in entry.top_logprobs]
            self.assertEqual(logprobs, sorted(logprobs, reverse=True))
        said = b"".join(bytes(entry.bytes) for entry in content).decode()
        self.assertIn(answer.choices[0].message.content, said)
        streamed = []
        for chunk in self.chat(user("What is 17 + 25?"), logprobs=True, top_logprobs=3, stream=True):
            for choice in chunk.choices:
                if choice.logprobs:
                    streamed += choice.logprobs.content
        self.assertEqual([e.token for e in streamed], [e.token for e in content])

    def test_continued_message(self):
        messages = user("What is the capital of Peru?") + [
            {"role": "assistant", "content": "The capital of"}]
        answer = self.chat(messages, {"continue_final_message": True})
        self.assertIn("Lima", answer.choices[0].message.content)
        self.assertNotIn("The capital of", answer.choices[0].message.content)

    def test_list_content_system_and_developer(self):
        parts = [{"type": "text", "text": "What is the "}, {"type": "text", "text": "capital of Peru?"}]
        answer = self.chat([{"role": "developer", "content": "Be brief."},
                            {"role": "user", "content": parts}])
        self.assertTrue(answer.choices[0].message.content)


class Reasoning(OpenAiTest):
    def reasoning(self, **fields):
        # The demo model closes its thoughts at once; kept from that, it thinks to the end.
        closing = self.token_id("</think>")
        return self.client.chat.completions.create(
            model=MODEL, messages=user("What is a violin?"), temperature=0, max_tokens=24,
            logit_bias={str(closing): -100}, **fields)

    def test_reasoning_is_apart_from_content(self):
        answer = self.reasoning()
        message = answer.choices[0].message
        self.assertTrue(message.reasoning_content)
        self.assertEqual(message.content, "")
        self.assertGreater(answer.usage.completion_tokens_details.reasoning_tokens, 10)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        streamed = ""
        for chunk in self.reasoning(stream=True):
            for choice in chunk.choices:
                streamed += getattr(choice.delta, "reasoning_content", None) or ""
        self.assertEqual(streamed, message.reasoning_content)
        hidden = self.reasoning(extra_body={"include_reasoning": False})
        self.assertFalse(hasattr(hidden.choices[0].message, "reasoning_content"))

    def test_reasoning_effort_none_switches_it_off(self):
        answer = self.reasoning(reasoning_effort="none")
        self.assertFalse(hasattr(answer.choices[0].message, "reasoning_content"))
        self.assertTrue(answer.choices[0].message.content)


class Tools(OpenAiTest):
    def test_two_turns(self):
        messages = user("What is the weather in Lisbon?")
        answer = self.chat(messages, tools=TOOLS)
        choice = answer.choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertIsNone(choice.message.content)
        call = choice.message.tool_calls[0]
        self.assertEqual(call.type, "function")
        self.assertEqual(call.function.name, "get_weather")
        self.assertEqual(json.loads(call.function.arguments), {"city": "Lisbon"})
        messages += [choice.message.model_dump(exclude_none=True),
                     {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}]
        answer = self.chat(messages, tools=TOOLS)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertTrue(answer.choices[0].message.content)

    def test_streamed_call_names_its_function_once(self):
        names, ids, arguments, reasons = [], [], "", []
        for chunk in self.chat(user("What is the weather in Lisbon?"), tools=TOOLS, stream=True):
            for choice in chunk.choices:
                reasons += [choice.finish_reason] if choice.finish_reason else []
                for call in choice.delta.tool_calls or []:
                    self.assertEqual(call.index, 0)
                    ids += [call.id] if call.id else []
                    names += [call.function.name] if call.function.name else []
                    arguments += call.function.arguments or ""
        self.assertEqual(names, ["get_weather"])
        self.assertEqual(len(ids), 1)
        self.assertEqual(json.loads(arguments), {"city": "Lisbon"})
        self.assertEqual(reasons, ["tool_calls"])

    def test_tool_choice(self):
        question = user("What is the weather in Lisbon?")
        answer = self.chat(question, tools=TOOLS, tool_choice="none")
        self.assertIsNone(answer.choices[0].message.tool_calls)
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            answer = self.chat(question, tools=TOOLS, tool_choice=choice)
            call = answer.choices[0].message.tool_calls[0]
            self.assertEqual(call.function.name, "get_weather")
            self.assertEqual(json.loads(call.function.arguments), {"city": "Lisbon"})
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")

    def test_forced_call_of_a_chatty_question(self):
        # Without force the model answers this in words.
        for streamed in (False, True):
            answer = self.chat(user("Hello!"), tools=TOOLS, stream=streamed,
                               tool_choice={"type": "function", "function": {"name": "get_weather"}})
            if streamed:
                names = [call.function.name for chunk in answer for choice in chunk.choices
                         for call in choice.delta.tool_calls or [] if call.function.name]
            else:
                names = [call.function.name for call in answer.choices[0].message.tool_calls]
            self.assertEqual(names[0], "get_weather")

    def test_no_parallel_calls(self):
        answer = self.chat(user("What is the weather in Lisbon?"), tools=TOOLS,
                           parallel_tool_calls=False)
        self.assertEqual(len(answer.choices[0].message.tool_calls), 1)
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")


class Completions(OpenAiTest):
    PROMPT = "[gMASK]<sop><|user|>\nWhat is the capital of Peru?<|assistant|>\n<think></think>"

    def complete(self, prompt=PROMPT, **fields):
        return self.client.completions.create(
            model=MODEL, prompt=prompt, **{"temperature": 0, "max_tokens": 16, **fields})

    def test_whole_and_streamed(self):
        answer = self.complete()
        self.assertIn("Lima", answer.choices[0].text)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        text = "".join(choice.text for chunk in self.complete(stream=True)
                       for choice in chunk.choices)
        self.assertEqual(text, answer.choices[0].text)

    def test_several_prompts_in_every_form(self):
        ids = self.client.with_options(base_url=self.url).post(
            "/tokenize", body={"prompt": self.PROMPT}, cast_to=object)["tokens"]
        wanted = self.complete().choices[0].text
        answer = self.complete([self.PROMPT, self.PROMPT])
        self.assertEqual([c.text for c in answer.choices], [wanted, wanted])
        self.assertEqual([c.index for c in answer.choices], [0, 1])
        self.assertEqual(self.complete(ids).choices[0].text, wanted)
        self.assertEqual(self.complete([ids]).choices[0].text, wanted)

    def test_echo_scores_the_prompt(self):
        answer = self.complete("A dog is a kind of canine.", echo=True, logprobs=1, max_tokens=0)
        choice = answer.choices[0]
        self.assertEqual(choice.text, "A dog is a kind of canine.")
        self.assertEqual("".join(choice.logprobs.tokens), choice.text)
        self.assertIsNone(choice.logprobs.token_logprobs[0])
        self.assertTrue(all(p <= 0 and math.isfinite(p) for p in choice.logprobs.token_logprobs[1:]))
        self.assertEqual(choice.logprobs.text_offset[0], 0)
        self.assertEqual(answer.usage.completion_tokens, 0)
        streamed = self.complete("A dog is a kind of canine.", echo=True, logprobs=1, max_tokens=0,
                                 stream=True)
        tokens = [t for chunk in streamed for c in chunk.choices for t in c.logprobs.tokens]
        self.assertEqual(tokens, choice.logprobs.tokens)


class OtherEndPoints(OpenAiTest):
    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).owned_by, "glmoe")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("other")

    def test_tokenize_detokenize_and_template(self):
        plain = self.client.with_options(base_url=self.url)
        ids = plain.post("/tokenize", body={"prompt": "Hello!"}, cast_to=object)["tokens"]
        back = plain.post("/detokenize", body={"tokens": ids}, cast_to=object)
        self.assertEqual(back["prompt"], "Hello!")
        prompt = plain.post("/apply-template", body={"messages": user("Hello!")}, cast_to=object)
        self.assertEqual(prompt["prompt"], "[gMASK]<sop><|user|>\nHello!<|assistant|>")


class Errors(OpenAiTest):
    def test_bad_fields_name_their_path(self):
        cases = [({"temperature": -1}, "temperature"), ({"n": 0}, "n"),
                 ({"extra_body": {"stream": "true"}}, "stream"),
                 ({"response_format": {"type": "json_object"}}, "response_format.type"),
                 ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {
                     "url": "data:"}}]}]}, "messages[0].content[0].type")]
        for fields, param in cases:
            with self.subTest(param), self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(
                    **{"model": MODEL, "messages": user("hi"), **fields})
            self.assertEqual(caught.exception.param, param)
            self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_unknown_model_and_wrong_key(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(model="gpt-4", messages=user("hi"))
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError):
            self.client.with_options(api_key="wrong").models.list()

    def test_prompt_beyond_the_context(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(user("violin " * 5000))
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_deadline(self):
        # Far too little for so many tokens; what was there in time is given.
        body = {"timeout": 0.25, "ignore_eos": True}
        try:
            answer = self.chat(user("Tell me about Norway."), body, max_tokens=4000)
            self.assertEqual(answer.choices[0].finish_reason, "timeout")
        except openai.APIStatusError as error:
            self.assertEqual(error.status_code, 408)
        reasons = [choice.finish_reason for chunk in self.chat(
            user("Tell me about Norway."), body, max_tokens=4000, stream=True)
            for choice in chunk.choices if choice.finish_reason]
        self.assertEqual(reasons, ["timeout"])

    def test_server_goes_on_after_all_that(self):
        self.assertIn("Lima", self.chat(user("What is the capital of Peru?"))
                      .choices[0].message.content)


if __name__ == "__main__":
    unittest.main(verbosity=2)
