"""The model's HTTP server: one for a cell, on loopback, in this process."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import anthropic, chat, gemini, responses
from .script import Say, Script, since_prompt

# The end of a path, and the format spoken there.
FORMATS = (
    ("/v1/messages", anthropic), ("/responses", responses), ("/chat/completions", chat),
    (":generateContent", gemini), (":streamGenerateContent", gemini),
)


class Model:
    def __init__(self):
        self.scripts = {}
        self.log = []
        # What is to be done when a check in the midst of a script fails.
        self.on_fault = []
        handler = type("Handler", (Handler,), {"model": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def script(self, *steps):
        script = Script(*steps, on_fault=self.on_fault)
        self.scripts[script.number] = script
        return script

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, wire, body):
        """The step for a request. Side requests, as for the title of a conversation, offer no tools."""
        if not wire.offers_tools(body):
            return Say("a title")
        number, turns = since_prompt(wire.turns(body))
        script = self.scripts.get(number)
        return script.next(turns, body) if script else Say("no script is named")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None

    def log_message(self, *words):
        """Requests are in the log of the model."""

    def do_HEAD(self):
        self.reply({})

    def do_GET(self):
        self.model.log.append({"get": self.path})
        if self.path.split("?")[0].endswith("/models"):
            return self.reply({"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []})
        return self.reply({"error": {"type": "not_found_error", "message": "not here"}}, 404)

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        body = json.loads(raw or b"{}")
        path = self.path.split("?")[0]
        self.model.log.append({"post": path, "body": body})
        if path.endswith("/count_tokens"):
            return self.reply({"input_tokens": 10})
        if path.endswith(":countTokens"):
            return self.reply({"totalTokens": 10})
        for end, wire in FORMATS:
            if path.endswith(end):
                return self.say(wire, path, body)
        return self.reply({"error": {"type": "not_found_error", "message": "not here"}}, 404)

    def say(self, wire, path, body):
        step = self.model.answer(wire, body)
        try:
            if wire.streams(path, body):
                self.stream(wire.events(step, body), wire.NAMED_EVENTS, wire.LAST_LINE)
            else:
                self.reply(wire.message(step, body))
        except ConnectionError:
            # The CLI was ended, or has given the request up.
            self.close_connection = True

    def reply(self, answer, code=200):
        raw = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def stream(self, events, named, last):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for event in events:
            name = f"event: {event['type']}\n" if named else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(last)
