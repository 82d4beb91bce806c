#!/usr/bin/env python3
"""A stand-in for a server, whose answers are known beforehand: what `ridge bench serve` says of it can be checked.

    fake_openai.py PORT_FILE LOG_FILE      serves on a free port of the loopback, writes the port, logs each body

A request's model says how it is answered: "plain" by ten tokens and a usage; "no-usage" without one; "slow" with 20 ms
before each token; "busy" by 429; "error" by an error within the stream; "cut" by a stream that just ends; "garbage" by
something that is no JSON; "split" in parts of three bytes, with lines that end in \\r\\n.
"""
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = 10
log_lock = threading.Lock()
busy_now, busy_most = 0, 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"object": "list", "data": [{"id": "plain"}], "most": busy_most})

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value, split):
        text = value if isinstance(value, str) else json.dumps(value)
        if not split:
            return self.chunk(b"data: %s\n\n" % text.encode())
        whole = b": a comment\r\ndata: %s\r\n\r\n" % text.encode()
        for at in range(0, len(whole), 3):
            self.chunk(whole[at:at + 3])

    def do_POST(self):
        global busy_now, busy_most
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with log_lock:
            busy_now += 1
            busy_most = max(busy_most, busy_now)
            log.write(json.dumps({"path": self.path, "key": self.headers.get("Authorization"), "body": body}) + "\n")
            log.flush()
        try:
            self.respond(body, body["model"])
        finally:
            with log_lock:
                busy_now -= 1

    def respond(self, body, kind):
        if kind == "busy":
            return self.answer(429, {"error": {"message": "the queue is full", "type": "rate_limit_error"}})
        chat, split = self.path.endswith("/chat/completions"), kind == "split"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if chat:
            self.event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}, split)
        for i in range(TOKENS):
            if kind == "slow":
                time.sleep(0.02)
            if kind == "cut" and i == 3 or kind == "garbage" and i == 2 or kind == "error" and i == 2:
                break
            said = {"delta": {"content": " tok%d" % i}} if chat else {"text": " tok%d" % i}
            self.event({"choices": [dict(said, index=0, finish_reason=None)]}, split)
        self.close(body, kind, chat, split)

    def close(self, body, kind, chat, split):
        if kind == "error":
            self.event({"error": {"message": "the engine is out of luck"}}, split)
        if kind == "garbage":
            self.event("{\"choices\": [", split)
        if kind not in ("cut", "error", "garbage"):
            self.event({"choices": [{"delta": {}, "text": "", "finish_reason": "length"}]}, split)
            if kind != "no-usage":
                prompt = body.get("prompt", "")
                count = len(prompt) if isinstance(prompt, list) else len(str(prompt or body["messages"]).split())
                self.event({"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": TOKENS,
                                                     "prompt_tokens_details": {"cached_tokens": 3}}}, split)
            self.event("[DONE]", split)
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


log = open(sys.argv[2], "a")
server = Server(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as out:
    out.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
