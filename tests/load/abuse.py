#!/usr/bin/env python3
"""Ten thousand requests that a server may meet on a bad day, and what must not come of them.

    tests/load/abuse.py --server 'build/ridge serve -m MODEL' [--requests 10000] [--idle 1000] [--seed 1]
    tests/load/abuse.py --url http://127.0.0.1:8080 [--pid PID] ...      a server that runs already

First each kind of good request is asked alone, and its answer kept. Then, while 1,000 connections stay open and idle,
slow ones dribble their headers, and bodies of 100 MB come in, all are asked again at once, in random order: 10 % of the
requests are malformed, 20 % are cancelled midway. At the end:

    - the server runs, and answers on the idle connections
    - every good answer is the same, bit for bit, as it was alone
    - every malformed request was refused by a status from 400 to 499 with a reason, or its connection closed, in time
    - a small request, asked throughout, was always answered
    - no request runs or waits, no block of the cache is held (/metrics), and memory is what it was (/proc)

Exits with 1, and tells the first failures, otherwise. With python3's own library only; loopback only.
"""
import argparse
import asyncio
import collections
import random
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import cases
import essence
import wire

TOLD_MOST = 20
SLOW_CONNECTIONS = 32
BODY_MEGABYTES = 100
RETRIES = 200
WARM_REQUESTS = 300     # until the cache and the heaps of all threads have been touched


class Report:
    def __init__(self):
        self.counts = collections.Counter()
        self.failures = []

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= TOLD_MOST:
            print("FAILED:", text, flush=True)

    def done(self, what):
        self.counts[what] += 1


class Server:
    """The server under test: started here, or one that runs already."""

    def __init__(self, options):
        self.process, self.pid = None, options.pid
        address = urlsplit(options.url or f"http://127.0.0.1:{options.port}")
        self.place, self.key = (address.hostname, address.port or 80), options.key
        if self.place[0] not in ("127.0.0.1", "localhost", "::1"):
            sys.exit("abuse: only a server on the loopback is abused")
        if options.server:
            self.log = open(options.log, "wb")
            self.process = subprocess.Popen([*shlex.split(options.server), "--port", str(self.place[1])],
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
            self.pid = self.process.pid

    async def wait_until_up(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process and self.process.poll() is not None:
                sys.exit(f"abuse: the server ended by itself with status {self.process.returncode}; see {self.log.name}")
            try:
                if (await wire.ask(self.place, wire.get("/health"))).status == 200:
                    return
            except wire.Closed:
                pass
            await asyncio.sleep(0.1)
        sys.exit("abuse: no answer at /health")

    def lives(self):
        return self.process is None or self.process.poll() is None

    def resident_bytes(self):
        try:
            with open(f"/proc/{self.pid}/status") as status:
                return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
        except (OSError, AttributeError, TypeError):
            return None

    def stop(self):
        """True: it ended as it should."""
        if not self.process:
            return True
        self.process.terminate()
        try:
            return self.process.wait(60) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False

    async def metric(self, name):
        answer = await wire.ask(self.place, wire.get("/metrics", self.key))
        values = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", answer.body.decode(), re.M)
        return sum(map(float, values)) if values else None


class Abuse:
    def __init__(self, options, server, report):
        self.o, self.server, self.report = options, server, report
        self.random = random.Random(options.seed)
        self.good, self.alone = [], []
        self.left, self.asked = options.requests, 0
        self.probes = []

    # ---- good requests ----

    async def answer(self, path, body):
        """Asks until it is neither too busy nor stopped by a full queue; None: it never was."""
        self.asked += 1
        data = wire.post(path, body, self.server.key, extra=[f"X-Request-Id: abuse-{self.asked}"])
        for _ in range(RETRIES):
            answer = await asyncio.wait_for(wire.ask(self.server.place, data), self.o.patience)
            if answer.status not in (429, 503):
                return answer
            self.report.done("told to come again (429)")
            await asyncio.sleep(min(float(answer.headers.get("retry-after", 0.2)), 1) * self.random.uniform(0.1, 1))
        return None

    async def ask_alone(self):
        """What each good request is answered when nothing else is asked. A kind that the server has no path for is left out."""
        missing = set()
        models = (await wire.ask(self.server.place, wire.get("/v1/models", self.server.key))).json()
        for kind, path, body in cases.bodies(self.random, self.o.variants, models["data"][0]["id"]):
            answer = None if kind in missing else await self.answer(path, body)
            if answer and answer.status == 200:
                self.good.append((kind, path, body))
                self.alone.append(essence.essence(answer))
            elif answer and (answer.status in (404, 501) or self.o.lenient):
                missing.add(kind)
                print(f"NOT TESTED: {kind}: {path} answered {answer.status} {answer.body[:200]!r}", flush=True)
            elif answer:
                self.report.fail(f"{kind}, asked alone: {answer.status} {answer.body[:300]!r} for {body}")
                missing.add(kind)
        if not self.good:
            sys.exit("abuse: no good request was answered")

    async def ask_good(self):
        i = self.random.randrange(len(self.good))
        kind, path, body = self.good[i]
        answering = self.answer(path, body)
        number = self.asked + 1
        try:
            answer = await answering
        except (wire.Closed, asyncio.TimeoutError) as why:
            return self.report.fail(f"{kind}: {type(why).__name__} {why} after {self.o.patience:g} s at most, to {body}, whose "
                                    f"X-Request-Id was abuse-{number}")
        if answer is None:
            self.report.fail(f"{kind}: was told to come again {RETRIES} times")
        elif answer.status != 200:
            self.report.fail(f"{kind}: {answer.status} {answer.body[:300]!r}")
        elif essence.essence(answer) != self.alone[i]:
            self.report.fail(f"{kind}: another answer than alone, to {body}\n"
                             + essence.difference(self.alone[i], essence.essence(answer)))
        self.report.done("good")

    # ---- bad ones ----

    async def ask_malformed(self):
        kind = self.random.choice([*cases.REFUSED, *cases.BOUNDED])
        refused = kind in cases.REFUSED
        data = (cases.REFUSED if refused else cases.BOUNDED)[kind](self.random)
        if self.server.key and data.startswith(b"POST /"):
            data = data.replace(b"\r\n", f"\r\nAuthorization: Bearer {self.server.key}\r\n".encode(), 1)
        try:
            answer = await asyncio.wait_for(self.one_chance(data), self.o.patience)
        except asyncio.TimeoutError:
            return self.report.fail(f"{kind}: no answer within {self.o.patience} s")
        except wire.Closed as why:
            self.report.done("malformed, and closed")
            return self.report.fail(f"{kind}: closed instead of refused: {why}") if refused else None
        self.report.done("malformed")
        if answer.status >= 500 and answer.status != 503 and answer.status != 501 and answer.status != 505:
            self.report.fail(f"{kind}: {answer.status} {answer.body[:300]!r}")
        elif refused and not 400 <= answer.status < 500:
            self.report.fail(f"{kind}: was not refused: {answer.status} {answer.body[:300]!r}")
        elif refused and answer.status != 429 and not answer.body:
            self.report.fail(f"{kind}: {answer.status} without a reason")

    async def one_chance(self, data):
        """What is no HTTP may leave the server waiting for more: after a while nothing more comes."""
        reader, writer = await wire.connect(self.server.place)
        try:
            await wire.send(writer, data)
            try:
                return await asyncio.wait_for(wire.read_answer(reader), self.o.patience / 3)
            except asyncio.TimeoutError:
                if writer.can_write_eof():
                    writer.write_eof()
                return await wire.read_answer(reader)
        finally:
            writer.close()

    async def ask_cancelled(self):
        _, path, body = self.good[self.random.randrange(len(self.good))]
        if "max_tokens" in body and "grammar" not in body:
            body = {**body, "max_tokens": 200, "stream": self.random.random() < 0.7}
        data = wire.post(path, body, self.server.key)
        when = self.random.choice(["before it was sent", "once it was sent", "at the first byte", "later"])
        try:
            reader, writer = await wire.connect(self.server.place)
            await wire.send(writer, data[:self.random.randrange(len(data))] if when == "before it was sent" else data)
            if when in ("at the first byte", "later"):
                await asyncio.wait_for(reader.read(1), self.o.patience)
            if when == "later":
                await asyncio.sleep(self.random.uniform(0, 0.2))
            (wire.slam if self.random.random() < 0.5 else lambda w: w.close())(writer)
        except (wire.Closed, OSError):
            pass
        except asyncio.TimeoutError:
            return self.report.fail(f"{path}: not a byte within {self.o.patience} s, to {body}")
        self.report.done(f"cancelled {when}")

    # ---- what goes on beside ----

    async def hold_idle(self, count):
        """Connections that have asked once and are kept. Each was accepted: it has answered."""
        held = []
        for _ in range(count):
            reader, writer = await wire.connect(self.server.place)
            await wire.send(writer, wire.get("/health"))
            answer = await asyncio.wait_for(wire.read_answer(reader), self.o.patience)
            if answer.status != 200:
                self.report.fail(f"/health on an idle connection: {answer.status}")
            held.append((reader, writer))
        return held

    async def ask_idle(self, held):
        answered = 0
        for i, (reader, writer) in enumerate(held):
            try:
                await wire.send(writer, wire.get("/health"))
                answered += (await asyncio.wait_for(wire.read_answer(reader), self.o.patience)).status == 200
            except wire.Closed:
                pass
            except asyncio.TimeoutError:
                self.report.fail(f"idle connection {i}, from {writer.get_extra_info('sockname')}: no answer within "
                                 f"{self.o.patience:g} s")
                break
        for _, writer in held:
            writer.close()
        self.report.counts["idle connections that still answered"] = answered
        if answered < len(held):
            self.report.fail(f"of {len(held)} idle connections {answered} still answered")

    async def dribble(self):
        """Slow loris: a header that comes a byte at a time and never ends."""
        while True:
            try:
                _, writer = await wire.connect(self.server.place)
                await wire.send(writer, b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nX: ")
                while not writer.transport.is_closing():
                    await wire.send(writer, b"a")
                    await asyncio.sleep(0.5)
                self.report.done("slow ones that were closed")
            except wire.Closed:
                pass
            await asyncio.sleep(1)

    async def pour(self, chunked):
        """A body of 100 MB: refused, and the connection closed, long before its end."""
        head = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % (BODY_MEGABYTES << 20))
        part = b"x" * (1 << 16)
        try:
            reader, writer = await wire.connect(self.server.place)
            answer = asyncio.ensure_future(wire.read_answer(reader))
            await wire.send(writer, head)
            for _ in range(BODY_MEGABYTES << 4):
                sending = asyncio.ensure_future(wire.send(writer, b"10000\r\n%s\r\n" % part if chunked else part))
                await asyncio.wait([answer, sending], timeout=self.o.patience, return_when=asyncio.FIRST_COMPLETED)
                if answer.done() or writer.transport.is_closing() or not sending.done():
                    sending.cancel()
                    break
            status = (await asyncio.wait_for(answer, self.o.patience)).status
            wire.slam(writer)
            self.report.done(f"100 MB answered by {status}")
            if not 400 <= status < 500:
                self.report.fail(f"a body of {BODY_MEGABYTES} MB: {status}")
        except wire.Closed:
            self.report.done("100 MB closed")
        except asyncio.TimeoutError:
            self.report.fail(f"a body of {BODY_MEGABYTES} MB: no answer within {self.o.patience} s")

    async def probe(self):
        while True:
            begun = time.monotonic()
            try:
                answer = await asyncio.wait_for(wire.ask(self.server.place, wire.get("/health")), self.o.patience)
                if answer.status != 200:
                    self.report.fail(f"/health beside the load: {answer.status}")
            except (wire.Closed, asyncio.TimeoutError) as why:
                self.report.fail(f"/health beside the load: {type(why).__name__} {why}")
                if not self.server.lives():
                    return
            self.probes.append(time.monotonic() - begun)
            await asyncio.sleep(0.2)

    # ---- all of it ----

    async def worker(self):
        while self.left > 0 and self.server.lives():
            self.left -= 1
            chance = self.random.random()
            ask = self.ask_malformed if chance < 0.1 else self.ask_cancelled if chance < 0.3 else self.ask_good
            try:
                await asyncio.wait_for(ask(), 4 * self.o.patience)
            except (wire.Closed, asyncio.TimeoutError, OSError) as why:
                self.report.fail(f"{ask.__name__}: {type(why).__name__} {why}")

    async def load(self, requests):
        self.left = requests
        await asyncio.gather(*(self.worker() for _ in range(self.o.concurrency)))

    async def settle(self):
        """Nothing runs, waits or holds blocks once nobody asks."""
        names = ["ridge:num_requests_running", "ridge:num_requests_waiting", "ridge:kv_cache_usage_perc"]
        values = []
        for _ in range(100):
            values = [await self.server.metric(name) for name in names]
            if not any(values):
                break
            await asyncio.sleep(0.1)
        for name, value in zip(names, values):
            if value is None:
                print(f"NOT TESTED: {name} is not in /metrics", flush=True)
            elif value:
                self.report.fail(f"{name} is {value:g} ten seconds after the last request")

    def check_memory(self, before, after):
        if not before or not after or self.o.no_memory:
            return print("NOT TESTED: the server's memory", flush=True)
        print(f"memory: {before >> 20} MiB once warm, {after >> 20} MiB at the end", flush=True)
        if after > before * 1.05 + (16 << 20):
            self.report.fail(f"memory grew from {before >> 20} to {after >> 20} MiB")

    async def run(self):
        await self.ask_alone()
        print(f"{len(self.good)} good requests of {len({kind for kind, *_ in self.good})} kinds asked alone", flush=True)
        held = await self.hold_idle(self.o.idle)
        beside = [asyncio.ensure_future(task) for task in
                  [self.probe(), *(self.dribble() for _ in range(min(SLOW_CONNECTIONS, self.o.idle or 1)))]]
        pours = [asyncio.ensure_future(self.pour(chunked)) for chunked in (False, True)]
        first = max(self.o.requests // 10, min(self.o.requests // 2, WARM_REQUESTS))
        await self.load(first)
        before = self.server.resident_bytes()
        await self.load(self.o.requests - first)
        await asyncio.gather(*pours)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        if not self.server.lives():
            return self.report.fail("the server ended")
        await self.ask_idle(held)
        await self.settle()
        self.check_memory(before, self.server.resident_bytes())


def read_options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--server", help="command that serves; --port is put behind it")
    p.add_argument("--port", type=int, default=18430, help="for --server")
    p.add_argument("--log", default="/dev/null", help="where the output of --server goes")
    p.add_argument("--url", help="a server that runs already")
    p.add_argument("--pid", type=int, help="of that server, to watch its memory")
    p.add_argument("--key", help="API key")
    p.add_argument("--requests", type=int, default=10000)
    p.add_argument("--concurrency", type=int, default=48)
    p.add_argument("--idle", type=int, default=1000, help="connections that are open and ask nothing")
    p.add_argument("--variants", type=int, default=6, help="different requests of each good kind")
    p.add_argument("--patience", type=float, default=60, help="seconds within which each request must be answered")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--no-memory", action="store_true", help="do not watch memory (sanitizers keep their own)")
    p.add_argument("--lenient", action="store_true", help="good requests that are refused are left out: for other servers")
    options = p.parse_args()
    if not options.url and not options.server:
        p.error("--server or --url is needed")
    return options


def main():
    options, report = read_options(), Report()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * options.idle + 4096)), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("abuse: told to stop"))    # the server too, on the way out
    server = Server(options)
    try:
        asyncio.run(run(options, server, report))
    finally:
        ended = server.stop()
    if not ended:
        report.fail("the server did not end with status 0 when it was asked to")
    for what, count in sorted(report.counts.items()):
        print(f"{count:8} {what}")
    print(f"{'FAILED' if report.failures else 'passed'}: {len(report.failures)} failures")
    sys.exit(1 if report.failures else 0)


async def run(options, server, report):
    await server.wait_until_up(options.patience)
    abuse, begun = Abuse(options, server, report), time.monotonic()
    await abuse.run()
    if abuse.probes:
        print(f"{time.monotonic() - begun:.0f} s; /health beside the load: {1e3 * sorted(abuse.probes)[len(abuse.probes) // 2]:.1f} ms "
              f"in the median, {1e3 * max(abuse.probes):.0f} ms at most")


if __name__ == "__main__":
    main()
