"""A server of its own for a test, calls of it, and a count of what was right.

    def run():
        with Server("--api-key", "secret") as s:
            check("what it protects", s.post("/tokenize", {"content": "Hi"})[0] == 200)
    finish(run)
"""
import json
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request

BINARY = os.path.join(os.environ.get("BUILD", "build"), "ridge")
passed, failed = 0, 0


def check(what, good, shown=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("FAILED:", what, shown if shown != "" else "", flush=True)
    return good


def finish(run):
    """Runs the test, and ends with the words that tests/run counts."""
    try:
        run()
    except Exception:
        check("nothing unforeseen happens", False, traceback.format_exc())
    print(f"[  PASSED  ] {passed} tests" + (f", {failed} failed" if failed else ""))
    sys.exit(1 if failed else 0)


def needs(module):
    """The module, or the end of the test: a client of somebody else's that is not installed."""
    try:
        return __import__(module)
    except ImportError:
        print(f"NOT TESTED: the Python package {module} is absent (pip install {module})")
        sys.exit(0)


class Server:
    def __init__(self, *options):
        self.options = options

    def start(self):
        self.log = open(os.environ.get("SERVER_LOG", os.devnull), "ab")
        self.process = subprocess.Popen([BINARY, "serve", "--port", "0", *self.options], stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ridge: http"):
            raise RuntimeError(f"the server does not start: {line}")
        self.url = line.split()[1]
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        status = self.process.wait(60)
        self.log.close()
        return status

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.stop()

    def call(self, method, path, body=None, headers={}):
        """The status, the answer (as JSON where it is JSON) and its headers."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                status, got, heads = r.status, r.read(), r.headers
        except urllib.error.HTTPError as r:
            status, got, heads = r.code, r.read(), r.headers
        is_json = heads.get("Content-Type", "").startswith("application/json")
        return status, json.loads(got) if is_json else got.decode(), heads

    def post(self, path, body, headers={}):
        return self.call("POST", path, body, headers)

    def get(self, path, headers={}):
        return self.call("GET", path, None, headers)

    def events(self, path, body):
        """What a stream says: (name of the event or None, its JSON)."""
        status, text, _ = self.post(path, body)
        if not check(f"{path} streams", status == 200, text):
            return []
        found = []
        for block in filter(None, text.split("\n\n")):
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((lines.get("event"), json.loads(lines["data"])))
        return found


def until(condition, seconds=60):
    """Waits for something that will be so; what it is then, or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    return None
