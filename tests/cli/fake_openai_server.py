"""A server that speaks OpenAI's API as tests want it: right, slow, odd, or broken.

    with FakeServer(ttft_ms=50, itl_ms=10) as server:
        ... server.url ..., server.requests

What it does is set for all requests by keyword arguments of `Behaviour`, or for one request by a
JSON object in its field "fake". Every answer has `num_tokens` words unless max_tokens says another
number.
"""
import dataclasses
import http.server
import json
import socket
import struct
import sys
import threading
import time


@dataclasses.dataclass
class Behaviour:
    ttft_ms: float = 0.0
    itl_ms: float = 0.0
    num_tokens: int = 8
    status: int = 200  # another one: answered with an error body
    retry_after: str = ""
    error_message: str = "the fake server refuses"
    fail_every: int = 0  # every so many requests are answered with fail_status
    fail_status: int = 500
    api_key: str = ""
    tokenize: bool = False  # offers /tokenize and /detokenize: a word is a token
    usage: str = "last"  # last (empty choices), finish (beside finish_reason), every, none
    newline: str = "\n"  # line ends of events
    comments: bool = False  # a comment line before every event
    space_after_colon: bool = True
    done: bool = True  # [DONE] at the end
    finish_reason: str = "stop"
    reasoning: int = 0  # so many of the tokens are reasoning
    reasoning_field: str = "reasoning_content"
    role_chunk: bool = True
    piece_bytes: int = 0  # the stream's bytes are sent in pieces of so many
    chunked: bool = True  # else the stream ends with the connection
    stop_after: int = -1  # so many events, then `ending`
    ending: str = "close"  # close, reset, invalid_json, error_event, silence
    text: str = ""  # the answer itself, in place of words


class FakeServer:
    def __init__(self, **behaviour):
        self.behaviour = Behaviour(**behaviour)
        self.requests = []  # [(path, headers, body)] in the order of arrival
        self.open, self.most_open = 0, 0
        self.disconnects = 0
        self.lock = threading.Lock()
        fake = self

        class Handler(FakeHandler):
            server_state = fake

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def bodies(self):
        """The bodies of the requests for an answer."""
        with self.lock:
            return [body for path, _, body in self.requests if path.endswith("completions")]


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # clients that go away are what is tested


class FakeHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state = None

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        # Small events are sent at once.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_json(self, status, value, headers=()):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def refused(self, behaviour):
        if behaviour.api_key and self.headers["Authorization"] != f"Bearer {behaviour.api_key}":
            self.send_json(401, {"error": {"message": "the key is wrong", "type": "auth"}})
            return True
        return False

    def do_GET(self):
        behaviour = self.server_state.behaviour
        if self.refused(behaviour):
            return
        if self.path == "/v1/models":
            self.send_json(200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
        else:
            self.send_json(404, {"error": {"message": f"no such path: {self.path}"}})

    def do_POST(self):
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)))
        with state.lock:
            state.requests.append((self.path, dict(self.headers), body))
            number = sum(1 for path, _, _ in state.requests if path.endswith("completions"))
        behaviour = dataclasses.replace(state.behaviour, **body.get("fake", {}))
        if self.refused(behaviour):
            return
        if self.path in ("/tokenize", "/detokenize") and behaviour.tokenize:
            self.tokens(body)
        elif self.path not in ("/v1/chat/completions", "/v1/completions"):
            self.send_json(404, {"error": {"message": f"no such path: {self.path}"}})
        elif behaviour.status != 200 or (behaviour.fail_every and
                                         number % behaviour.fail_every == 0):
            status = behaviour.status if behaviour.status != 200 else behaviour.fail_status
            headers = [("Retry-After", behaviour.retry_after)] if behaviour.retry_after else []
            self.send_json(status, {"error": {"message": behaviour.error_message}}, headers)
        else:
            self.counted_answer(behaviour, body)

    def tokens(self, body):
        """A word is a token; its id is its bytes as a number."""
        if self.path == "/tokenize":
            ids = [int.from_bytes(word.encode()[:6], "big") for word in body["prompt"].split()]
            self.send_json(200, {"tokens": ids, "count": len(ids)})
        else:
            words = [n.to_bytes(6, "big").lstrip(b"\0").decode() for n in body["tokens"]]
            self.send_json(200, {"prompt": " ".join(words)})

    def counted_answer(self, behaviour, body):
        state = self.server_state
        with state.lock:
            state.open += 1
            state.most_open = max(state.most_open, state.open)
        self.is_open = True
        try:
            self.answer(behaviour, body)
        except OSError:
            self.close_connection = True
            with state.lock:
                state.disconnects += 1
        finally:
            self.no_longer_open()

    def no_longer_open(self):
        """Before the answer's last byte: a client that has it may send its next request."""
        if self.is_open:
            self.is_open = False
            with self.server_state.lock:
                self.server_state.open -= 1

    # ------------------------------------------------------------------------ the answer

    def pieces_of(self, behaviour, body):
        if behaviour.text:
            return [character for character in behaviour.text]
        count = body.get("max_tokens", behaviour.num_tokens)
        return [f"w{i} " for i in range(count)]

    def events(self, behaviour, body):
        """(delay in ms, event's JSON) one after the other."""
        chat = self.path.endswith("chat/completions")
        pieces = self.pieces_of(behaviour, body)
        usage = {"prompt_tokens": len(json.dumps(body).split()), "completion_tokens": len(pieces),
                 "prompt_tokens_details": None}

        def chunk(delta, finish=None):
            choice = {"index": 0, "finish_reason": finish, "logprobs": None}
            if chat:
                choice["delta"] = delta
            else:
                choice["text"] = delta.get("content", "")
            value = {"id": "x", "object": "chunk", "model": "fake", "choices": [choice]}
            if behaviour.usage == "every" or (behaviour.usage == "finish" and finish):
                value["usage"] = usage
            return value

        if chat and behaviour.role_chunk:
            yield 0.0, chunk({"role": "assistant", "content": ""})
        for i, piece in enumerate(pieces):
            field = behaviour.reasoning_field if i < behaviour.reasoning else "content"
            yield (behaviour.ttft_ms if i == 0 else behaviour.itl_ms), chunk({field: piece})
        if behaviour.finish_reason:
            yield 0.0, chunk({}, behaviour.finish_reason)
        if behaviour.usage == "last":
            yield 0.0, {"id": "x", "object": "chunk", "choices": [], "usage": usage}

    def answer(self, behaviour, body):
        if not body.get("stream"):
            return self.whole_answer(behaviour, body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        if behaviour.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        colon = ": " if behaviour.space_after_colon else ":"
        line_end = behaviour.newline
        for i, (delay_ms, value) in enumerate(self.events(behaviour, body)):
            if i == behaviour.stop_after:
                return self.break_off(behaviour)
            if delay_ms:
                time.sleep(delay_ms / 1e3)
            text = f": still here{line_end}" if behaviour.comments else ""
            data = json.dumps(value, ensure_ascii=False)
            self.write(behaviour, f"{text}data{colon}{data}{line_end}{line_end}")
        if behaviour.done:
            self.write(behaviour, f"data{colon}[DONE]{line_end}{line_end}")
        self.no_longer_open()
        if behaviour.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def write(self, behaviour, text):
        data = text.encode()
        size = behaviour.piece_bytes or len(data)
        for begin in range(0, len(data), size):
            piece = data[begin:begin + size]
            if behaviour.chunked:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            self.wfile.write(piece)
            self.wfile.flush()

    def break_off(self, behaviour):
        self.close_connection = True
        if behaviour.ending == "invalid_json":
            self.write(behaviour, 'data: {"choices": [\n\n')
        elif behaviour.ending == "error_event":
            self.write(behaviour, 'data: {"error": {"message": "out of memory", "code": 500}}\n\n')
            self.write(behaviour, "data: [DONE]\n\n")
        elif behaviour.ending == "silence":
            time.sleep(5)
            return
        elif behaviour.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.connection.close()
            return
        else:
            return
        if behaviour.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def whole_answer(self, behaviour, body):
        time.sleep(behaviour.ttft_ms / 1e3)
        text = "".join(self.pieces_of(behaviour, body))
        self.send_json(200, {"choices": [{"index": 0, "finish_reason": "stop",
                                          "message": {"role": "assistant", "content": text}}],
                             "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


if __name__ == "__main__":
    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    with FakeServer(**options) as fake_server:
        print(fake_server.url, flush=True)
        threading.Event().wait()
