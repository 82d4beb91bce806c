"""What the abuse test asks: requests that deserve an answer, and requests that do not."""
from wire import get, post

WORDS = ("once upon a time there was a little girl who lived in the forest with her old dog and the sun was high over the "
         "sea when a boy came to the door and said hello may I have some water").split()

# ---- what deserves an answer ----


def prompt(random, most=40):
    at = random.randrange(len(WORDS))
    return " ".join((WORDS * 3)[at:at + random.randint(1, most)]).capitalize()


def completion(random, **more):
    return "/v1/completions", {"prompt": prompt(random), "max_tokens": random.choice([1, 8, 16, 32]), "temperature": 0, **more}


def chat(random, **more):
    messages = [{"role": "user", "content": prompt(random)}]
    if random.random() < 0.5:
        messages.insert(0, {"role": "system", "content": "You are a storyteller. " * random.randint(1, 12)})
    return "/v1/chat/completions", {"messages": messages, "max_tokens": random.choice([1, 8, 16, 32]), "temperature": 0, **more}


def sampled(random):
    return {"temperature": random.choice([0.3, 0.8, 1.3]), "seed": random.randrange(1 << 31), "top_p": random.choice([1, 0.9]),
            "top_k": random.choice([0, 20])}


def ids(random):
    return [random.randint(300, 900) for _ in range(random.randint(1, 200))]


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}}}

GOOD = {
    "completion": lambda r: completion(r),
    "completion, streamed": lambda r: completion(r, **STREAM),
    "completion, sampled": lambda r: completion(r, **sampled(r)),
    "completion of ids": lambda r: completion(r, prompt=ids(r), ignore_eos=True),
    "completion, three answers": lambda r: completion(r, n=3, **sampled(r)),
    "completion, best of three": lambda r: completion(r, n=1, best_of=3, **sampled(r)),
    "completion, log-probabilities": lambda r: completion(r, logprobs=3),
    "completion, echoed": lambda r: completion(r, echo=True),
    "completion, several prompts": lambda r: completion(r, prompt=[prompt(r), prompt(r)]),
    "completion, many prompts": lambda r: completion(r, prompt=[prompt(r, 6) for _ in range(r.randint(20, 60))], max_tokens=2),
    "completion, stopped": lambda r: completion(r, stop=[" the", "\n"], **STREAM),
    "completion, penalised": lambda r: completion(r, presence_penalty=0.5, frequency_penalty=0.3, repetition_penalty=1.1),
    "completion, biased": lambda r: completion(r, logit_bias={"300": 5, "301": -100}, min_tokens=4, max_tokens=r.choice([4, 20])),
    "completion by a regex": lambda r: completion(r, regex="(yes|no), [a-z]{3,8}"),
    "completion by choice": lambda r: completion(r, choice=["red", "green", "blue"]),
    "completion by a grammar": lambda r: completion(r, grammar='root ::= "a" | "b" root', temperature=0.8, seed=4),
    "beam search": lambda r: completion(r, use_beam_search=True, n=2, best_of=2),
    "chat": lambda r: chat(r),
    "chat, streamed": lambda r: chat(r, **STREAM, **sampled(r) | {"seed": 5}),
    "chat, log-probabilities": lambda r: chat(r, logprobs=True, top_logprobs=2),
    "chat, two answers": lambda r: chat(r, n=2, **sampled(r)),
    "chat, an object": lambda r: chat(r, response_format={"type": "json_object"}),
    "chat, a schema": lambda r: chat(r, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}),
    "chat, a call": lambda r: chat(r, tools=[TOOL], tool_choice="required", max_tokens=48),
    "messages": lambda r: ("/v1/messages", {"messages": [{"role": "user", "content": prompt(r)}], "max_tokens": 16,
                                            "temperature": 0, "stream": r.random() < 0.5}),
    "responses": lambda r: ("/v1/responses", {"input": prompt(r), "max_output_tokens": 16, "temperature": 0, "store": False}),
    "embeddings": lambda r: ("/v1/embeddings", {"input": [prompt(r), prompt(r)]}),
    "llama.cpp's completion": lambda r: ("/completion", {"prompt": prompt(r), "n_predict": 12, "temperature": 0, "seed": 1,
                                                         "stream": r.random() < 0.5}),
    "tokenize": lambda r: ("/tokenize", {"content": prompt(r)}),
}

# ---- what does not ----

C, CHAT = "/v1/completions", "/v1/chat/completions"


def one_field(path=C, **more):
    base = {"prompt": "Hello", "max_tokens": 4} if path == C else {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    return post(path, {**base, **more})


def raw_field(text, path=C):
    return post(path, b'{"prompt": "Hello", "messages": [{"role": "user", "content": "a"}], "max_tokens": 4, ' + text + b"}")


def deep(n):
    return b"[" * n + b"]" * n


# Each must be refused by a status of 400 to 499 and a body that says why.
REFUSED = {
    "no JSON": lambda r: post(C, b"prompt=Hello"),
    "nothing": lambda r: post(C, b""),
    "a list": lambda r: post(C, b"[1, 2]"),
    "JSON cut short": lambda r: post(C, b'{"prompt": "Hel'),
    "JSON with a tail": lambda r: post(C, b'{"prompt": "a"} }'),
    "no prompt": lambda r: post(C, {"max_tokens": 4}),
    "no messages": lambda r: post(CHAT, {"messages": []}),
    "a role of its own": lambda r: one_field(CHAT, messages=[{"role": "robot", "content": "a"}]),
    "content that is a number": lambda r: one_field(CHAT, messages=[{"role": "user", "content": 5}]),
    "messages that are text": lambda r: one_field(CHAT, messages="hello"),
    "invalid UTF-8": lambda r: post(C, b'{"prompt": "a\xff\xfe\x80", "max_tokens": 4}'),
    "half a surrogate": lambda r: post(C, b'{"prompt": "\\ud800", "max_tokens": 4}'),
    "an overlong character": lambda r: post(C, b'{"prompt": "\xc0\xaf", "max_tokens": 4}'),
    "NaN": lambda r: raw_field(b'"temperature": NaN'),
    "infinity": lambda r: raw_field(b'"temperature": Infinity'),
    "1e400": lambda r: raw_field(b'"temperature": 1e400'),
    "a number of 10,000 digits": lambda r: raw_field(b'"seed": ' + b"9" * 10000),
    "deep lists": lambda r: raw_field(b'"x": ' + deep(100000)),
    "deep messages": lambda r: post(CHAT, b'{"messages": ' + deep(5000) + b"}"),
    "deep, never closed": lambda r: post(C, b"[" * 200000),
    "n of a billion": lambda r: one_field(n=10**9),
    "n of -1": lambda r: one_field(n=-1),
    "n of 0": lambda r: one_field(n=0),
    "n as text": lambda r: one_field(n="3"),
    "n of 1.5": lambda r: one_field(n=1.5),
    "best_of below n": lambda r: one_field(n=4, best_of=2),
    "min_tokens over max_tokens": lambda r: one_field(min_tokens=9, max_tokens=8),
    "max_tokens of -5": lambda r: one_field(max_tokens=-5),
    "max_tokens of 1e18": lambda r: one_field(max_tokens=10**18 * 10**3),
    "a cold temperature": lambda r: one_field(temperature=-1),
    "a temperature as text": lambda r: one_field(temperature="hot"),
    "top_p of 2": lambda r: one_field(top_p=2),
    "logprobs of a million": lambda r: one_field(logprobs=10**6),
    "stream as text": lambda r: one_field(stream="yes"),
    "a seed as text": lambda r: one_field(seed="x"),
    "an object as a prompt": lambda r: one_field(prompt={"a": 1}),
    "ids of no token": lambda r: one_field(prompt=[5, 10**9]),
    "negative ids": lambda r: one_field(prompt=[-1, 5]),
    "ids past 64 bits": lambda r: raw_field(b'"prompt": [99999999999999999999]'),
    "a prompt that never fits": lambda r: one_field(prompt=[300] * 200000),
    "a thousand prompts": lambda r: one_field(prompt=["a"] * 1000),
    "a thousand stops": lambda r: one_field(stop=[f"s{i}" for i in range(1000)]),
    "a stop that is empty": lambda r: one_field(stop=[""]),
    "a bias of no token": lambda r: one_field(logit_bias={"99999999": 1}),
    "a bias that is no number": lambda r: one_field(logit_bias={"5": "x"}),
    "a grammar that is none": lambda r: one_field(grammar="root ::= ("),
    "a grammar of a hole": lambda r: one_field(grammar="root ::= nowhere"),
    "a grammar turning left": lambda r: one_field(grammar="root ::= root root"),
    "a regex that is none": lambda r: one_field(regex="(("),
    "no choice": lambda r: one_field(choice=[]),
    "a schema of a number": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": 5}}),
    "a schema that is its own": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"$ref": "#"}}}),
    "a format of its own": lambda r: one_field(CHAT, response_format={"type": "poem"}),
    "tools that are text": lambda r: one_field(CHAT, tools="weather"),
    "a choice of no tool": lambda r: one_field(CHAT, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}}),
    "no such path": lambda r: post("/v1/nothing", {}),
    "a path upwards": lambda r: get("/../../../etc/passwd"),
    "a path with a zero": lambda r: get("/v1/models%00"),
    "the wrong method": lambda r: get(C),
}

# Each is answered soon, by whatever is right: a status below 500, or a closed connection.
BOUNDED = {
    "a regex of a billion states": lambda r: one_field(regex="((((a{1,1000}){1,1000}){1,1000}){1,1000}){1,1000}"),
    "a catastrophic regex": lambda r: one_field(regex="(a+)+(a+)+(a|aa|aaa)*b$"),
    "alternatives of repeats": lambda r: one_field(regex="(.*a.*b.*c.*d.*e.*f){20}"),
    "a recursive schema": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}}}),
    "schemas that refer in a ring": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}}}),
    "a schema with a wild pattern": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}}}),
    "a list of a billion": lambda r: one_field(CHAT, response_format={"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9}}}),
    "an enum of thousands": lambda r: one_field(choice=[f"word{i}" for i in range(5000)]),
    "a grammar of a megabyte": lambda r: one_field(grammar="root ::= " + " | ".join(f'"w{i}"' for i in range(60000))),
    "garbage": lambda r: bytes(r.randrange(256) for _ in range(r.randint(1, 2000))) + b"\r\n\r\n",
    "a TLS hello": lambda r: bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "HTTP/9.9": lambda r: b"GET / HTTP/9.9\r\n\r\n",
    "a line without end": lambda r: b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    "a header of a megabyte": lambda r: b"GET /health HTTP/1.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "ten thousand headers": lambda r: b"GET /health HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(10000)) + b"\r\n",
    "a negative length": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
    "two lengths": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 2\r\n\r\nhello",
    "a length past 64 bits": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
    "chunks of nonsense": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk past 64 bits": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "a length and chunks": lambda r: b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
                                     b"\r\n2\r\n{}\r\n0\r\n\r\n",
}


def bodies(random, each, model):
    """The good requests of a run: (kind, path, body); the same for the same seed."""
    drawn = [(kind, *ask(random)) for kind, ask in GOOD.items() for _ in range(each)]
    return [(kind, path, {"model": model, **body}) for kind, path, body in drawn]
