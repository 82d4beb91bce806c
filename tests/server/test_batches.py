#!/usr/bin/env python3
"""Files and batches as OpenAI's own Python client sees them; over a restart and a crash; whose they are."""
import json
import os
import signal
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Server, check, finish, needs, until

openai = needs("openai")
CHAT = "/v1/chat/completions"


def client_of(server, key="none"):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0)


def line(name, url=CHAT, max_tokens=8, **more):
    body = {"model": MODEL, "max_tokens": max_tokens, "temperature": 0, "messages": [{"role": "user", "content": f"Tell me of {name}."}]}
    return {"custom_id": name, "method": "POST", "url": url, "body": body, **more}


def upload(client, lines):
    text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
    return client.files.create(file=("in.jsonl", text.encode()), purpose="batch")


def begin(client, lines, **more):
    return client.batches.create(input_file_id=upload(client, lines).id, endpoint=CHAT, completion_window="24h", **more)


def ended(client, batch):
    def look():
        now = client.batches.retrieve(batch.id)
        return now if now.status in ("completed", "failed", "expired", "cancelled") else None
    return until(look)


def answers(client, file_id):
    return [json.loads(one) for one in client.files.content(file_id).text.splitlines()] if file_id else []


def refused(what, status, text, call):
    try:
        call()
        check(what, False, "it was answered")
    except openai.APIStatusError as e:
        check(what, e.status_code == status and text in str(e.body), (e.status_code, e.body))


def files(client):
    made = upload(client, [line("a")])
    check("a file is kept", made.object == "file" and made.purpose == "batch" and made.filename == "in.jsonl" and made.bytes > 50, made)
    check("it is told again", client.files.retrieve(made.id).id == made.id)
    check("and given again", json.loads(client.files.content(made.id).text) == line("a"))
    others = [upload(client, [line("a")]).id for _ in range(3)]
    listed = [f.id for f in client.files.list(limit=2)]
    check("a list has pages", set(listed) == {made.id, *others} and len(listed) == 4, listed)
    for one in [made.id, *others]:
        check("a file is deleted", client.files.delete(one).deleted)
    check("and is gone", not [f.id for f in client.files.list()])
    refused("a file that is not there", 404, "no file", lambda: client.files.retrieve(made.id))
    refused("another purpose", 400, "purpose", lambda: client.files.create(file=b"x", purpose="fine-tune"))
    big = bytes(range(256)) * 3000
    check("a file of any bytes", client.files.content(client.files.create(file=("b", big), purpose="batch").id).content == big)


def batches(client):
    good = [line(f"q{i}") for i in range(20)]
    bad = ["no json", line("q1"), line("x", url="/v1/other"), line("y", url="/v1/completions"), line("z", method="GET"),
           {"custom_id": "w", "method": "POST", "url": CHAT}, {"method": "POST", "url": CHAT, "body": {}}, line("s", max_tokens=-1)]
    made = begin(client, good + [""] + bad, metadata={"for": "a test"})
    check("a batch is taken", made.object == "batch" and made.status == "validating" and made.metadata == {"for": "a test"} and
          made.expires_at == made.created_at + 24 * 3600, made)
    done = ended(client, made)
    check("it is completed", done.status == "completed" and done.in_progress_at and done.finalizing_at and done.completed_at, done)
    check("lines are counted", (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (28, 20, 8), done)
    out = {a["custom_id"]: a for a in answers(client, done.output_file_id)}
    check("each line has its answer", set(out) == {f"q{i}" for i in range(20)} and all(
        a["response"]["status_code"] == 200 and a["response"]["request_id"] and a["error"] is None and
        a["response"]["body"]["object"] == "chat.completion" for a in out.values()))
    alone = client.chat.completions.create(**good[3]["body"])
    check("it is the answer of a single call", out["q3"]["response"]["body"]["choices"][0]["message"]["content"] ==
          alone.choices[0].message.content)
    errors = answers(client, done.error_file_id)
    codes = sorted((a["error"] or {"code": a["response"]["status_code"]})["code"] for a in errors if a["error"])
    check("each bad line is told", len(errors) == 8 and codes == sorted([
        "invalid_json_line", "duplicate_custom_id", "invalid_url", "mismatched_url", "invalid_method", "invalid_type",
        "missing_required_parameter"]), codes)
    check("a call that was refused has its status", [a["response"]["status_code"] for a in errors if not a["error"]] == [400], errors)
    check("the list has it", [b.id for b in client.batches.list(limit=1)][0] == made.id)
    refused("what has ended is not cancelled", 409, "completed", lambda: client.batches.cancel(made.id))
    empty = ended(client, begin(client, [""]))
    check("an empty file", empty.status == "failed" and empty.errors.data[0].code == "empty_file", empty)
    for what, fields in [("a file that is not there", {"input_file_id": "file-x"}), ("an endpoint", {"endpoint": "/v1/other"}),
                         ("a window", {"completion_window": "1h"}), ("metadata", {"metadata": {"a": "b" * 600}})]:
        refused(what, 400, next(iter(fields)), lambda: client.batches.create(**{
            "input_file_id": made.input_file_id, "endpoint": CHAT, "completion_window": "24h", **fields}))
    refused("a batch that is not there", 404, "no batch", lambda: client.batches.retrieve("batch_x"))
    refused("a page that is none", 400, "limit", lambda: client.batches.list(limit=1000))


def cancelled(client):
    made = begin(client, [line(f"c{i}", max_tokens=400) for i in range(200)])
    until(lambda: client.batches.retrieve(made.id).request_counts.completed > 3)
    check("a batch is cancelled", client.batches.cancel(made.id).status == "cancelling")
    done = ended(client, made)
    check("and keeps what was answered", done.status == "cancelled" and done.cancelled_at and
          3 < len(answers(client, done.output_file_id)) == done.request_counts.completed < 200, done)


def over_a_restart(state, how):
    """Stopped in the middle, gone on with after the next start: each line once."""
    with Server("--state-dir", state) as s:
        client = client_of(s)
        made = begin(client, [line(f"r{i}", max_tokens=60) for i in range(60)])
        check("it runs", until(lambda: 5 < client.batches.retrieve(made.id).request_counts.completed < 55))
        s.stop(how)
    path = f"{state}/batches/{made.id}.answers"
    kept = open(path).read().splitlines()
    with open(path, "a") as f:
        f.write('{"id":"batch_req_torn","custom_id":"r5')
    with Server("--state-dir", state) as s:
        done = ended(client_of(s), made)
        found = answers(client_of(s), done.output_file_id)
        check(f"each line once after signal {how.name}", done.status == "completed" and
              sorted(a["custom_id"] for a in found) == sorted(f"r{i}" for i in range(60)), (done, len(found)))
        check("what was there was kept", 5 < len(kept) < 60 and [a["id"] for a in found[:len(kept)]] == [json.loads(k)["id"] for k in kept])


def changed(state, batch_id, **fields):
    path = f"{state}/batches/{batch_id}.json"
    with open(path) as f:
        kept = json.load(f)
    kept["batch"].update(fields)
    with open(path, "w") as f:
        json.dump(kept, f)


def too_late(state):
    """The time of a batch is over: what has no answer is refused, what has one stays."""
    with Server("--state-dir", state) as s:
        made = begin(client_of(s), [line(f"l{i}", max_tokens=60) for i in range(60)])
        check("it runs", until(lambda: 5 < client_of(s).batches.retrieve(made.id).request_counts.completed < 55))
    changed(state, made.id, expires_at=1)
    with Server("--state-dir", state) as s:
        done = ended(client_of(s), made)
        out, errors = (answers(client_of(s), one) for one in (done.output_file_id, done.error_file_id))
        check("a batch expires", done.status == "expired" and done.expired_at and len(out) > 5 and len(out) + len(errors) == 60 and
              {a["error"]["code"] for a in errors} == {"batch_expired"} and
              {a["custom_id"] for a in out + errors} == {f"l{i}" for i in range(60)}, done)
        gone = begin(client_of(s), [line(f"l{i}", max_tokens=100) for i in range(60)])
        client_of(s).files.delete(gone.input_file_id)
        check("a batch goes on whose file was deleted", until(lambda: client_of(s).batches.retrieve(gone.id).request_counts.completed > 3)
              or client_of(s).batches.retrieve(gone.id).status == "failed")
    with open(f"{state}/batches/batch_bad.json", "w") as f:
        f.write("{}")
    try:
        Server("--state-dir", state).start()
        check("damaged state is told", False)
    except RuntimeError:
        check("damaged state is told", True)


def owners(state):
    keys = ["--api-key", "ka alice", "--api-key", "kb bob"]
    with Server("--state-dir", state, *keys) as s:
        alice, bob = client_of(s, "ka"), client_of(s, "kb")
        made = begin(alice, [line(f"o{i}", max_tokens=100) for i in range(100)])
        mine = begin(bob, [line("b")])
        refused("another's file", 404, "no file", lambda: bob.files.content(made.input_file_id))
        refused("another's batch", 404, "no batch", lambda: bob.batches.retrieve(made.id))
        refused("another's batch to cancel", 404, "no batch", lambda: bob.batches.cancel(made.id))
        refused("a batch of another's file", 400, "input_file_id", lambda: bob.batches.create(
            input_file_id=made.input_file_id, endpoint=CHAT, completion_window="24h"))
        check("lists have one's own", [b.id for b in bob.batches.list()] == [mine.id] and len(list(bob.files.list())) == 1)
        check("a short batch does not wait for another's long one", ended(bob, mine).status == "completed" and
              alice.batches.retrieve(made.id).status == "in_progress")
    with Server("--state-dir", state, "--api-key", "kb bob") as s:
        check("what one owns stays over a restart", client_of(s, "kb").batches.retrieve(mine.id).status == "completed")
    with Server("--state-dir", state, *keys) as s:
        gone = client_of(s, "ka").batches.retrieve(made.id)
        check("a batch fails whose key is gone", gone.status == "failed" and gone.errors.data[0].code == "key_not_found", gone)


def forms(s):
    """Forms as others may write them, and as nobody should."""
    def send(body, kind="multipart/form-data; boundary=B"):
        return s.post("/v1/files", body, {"Content-Type": kind})
    part = b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    purpose, file = part % (b"purpose", b"", b"batch"), part % (b"file", b'; filename="a"', b"x")
    check("the order of parts does not matter", send(file + purpose + b"--B--\r\n")[0] == 200)
    check("a boundary in quotes", send(file + purpose + b"--B--", 'multipart/form-data; charset=x; boundary="B"')[0] == 200)
    for what, body, kind in [
        ("no form", b"{}", "application/json"), ("no boundary", file, "multipart/form-data"), ("no end", file + purpose, None),
        ("no file", purpose + b"--B--", None), ("no purpose", file + b"--B--", None), ("nothing", b"", None),
        ("a part without a name", b"--B\r\n\r\nx\r\n--B--", None), ("many parts", purpose * 100 + b"--B--", None),
        ("headers without end", b"--B\r\nContent-Disposition: form-data; name=\"a\"", None),
        ("a long name", part % (b"n" * 500, b"", b"") + b"--B--", None),
    ]:
        status, answer, _ = send(body, kind) if kind else send(body)
        check(f"a form with {what}", status == 400 and answer["error"]["message"], (status, answer))


def run():
    global MODEL
    with tempfile.TemporaryDirectory() as state:
        with Server("--state-dir", state) as s:
            MODEL = s.get("/v1/models")[1]["data"][0]["id"]
            for part in (files, batches, cancelled):
                part(client_of(s))
            forms(s)
    for how in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory() as state:
            over_a_restart(state, how)
    for part in (too_late, owners):
        with tempfile.TemporaryDirectory() as state:
            part(state)
    with Server() as s:
        refused("no state, no files", 501, "--state-dir", lambda: client_of(s).files.list())


finish(run)
