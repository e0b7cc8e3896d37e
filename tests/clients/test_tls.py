"""OpenAI's Python client over TLS, with a certificate authority of one's own."""
# Mirrors: src/serve/http/transport.cc
import pathlib
import ssl
import sys
import tempfile
import unittest

import openai

from support import KEY, MODEL, ServerTest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from certificates import make_authority, make_certificate  # noqa: E402


class Tls(ServerTest):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        make_authority(cls.folder, "authority")
        make_authority(cls.folder, "stranger")
        make_certificate(cls.folder, "server", "authority")
        cls.flags = ("--ssl_certfile", cls.folder / "server.crt",
                     "--ssl_keyfile", cls.folder / "server.key")
        super().setUpClass()

    def client(self, authority):
        context = ssl.create_default_context(cafile=self.folder / f"{authority}.crt")
        client = openai.OpenAI(base_url=self.url + "/v1", api_key=KEY, max_retries=0,
                               http_client=openai.DefaultHttpxClient(verify=context))
        self.addCleanup(client.close)
        return client

    def test_whole_and_streamed(self):
        client = self.client("authority")
        question = {"model": MODEL, "temperature": 0, "max_tokens": 32,
                    "messages": [{"role": "user", "content": "What is a violin?"}]}
        whole = client.chat.completions.create(**question).choices[0].message
        streamed = [chunk.choices[0].delta for chunk in
                    client.chat.completions.create(**question, stream=True) if chunk.choices]
        for field in ("content", "reasoning_content"):
            self.assertEqual("".join(getattr(delta, field, None) or "" for delta in streamed),
                             getattr(whole, field, None) or "", field)

    def test_refuses_an_authority_that_it_does_not_know(self):
        with self.assertRaises(openai.APIConnectionError) as caught:
            self.client("stranger").models.list()
        self.assertIn("certificate verify failed", str(caught.exception.__cause__))


if __name__ == "__main__":
    unittest.main()
