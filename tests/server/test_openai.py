"""OpenAI's own Python client against `ridge serve` with the default model.

    RIDGE=build/ridge python -m pytest -q tests/server/test_openai.py

Needs the packages openai, pydantic and pytest; the server is started on a free port and stopped at the end.
"""

import concurrent.futures
import json
import os
import re
import subprocess
import time

import openai
import pydantic
import pytest

RIDGE = os.environ.get("RIDGE", "build/ridge")
KEYS = ["sk-alice alice", "sk-bob bob"]


@pytest.fixture(scope="session")
def url():
    server = subprocess.Popen(
        [RIDGE, "serve", "--port", "0", "--model-name", "base", "--parallel", "16", "--queue", "256"]
        + [word for key in KEYS for word in ("--api-key", key)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = None
    for line in server.stdout:
        address = re.search(r"https?://[\w.\[\]:]+", line)
        if address:
            break
    assert address, "the server did not say where it listens"
    yield address.group(0).rstrip("/.:")
    server.terminate()
    server.communicate(timeout=30)
    assert server.returncode == 0


@pytest.fixture
def client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="sk-alice", max_retries=0, timeout=60)


@pytest.fixture
def bob(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="sk-bob", max_retries=0, timeout=60)


def user(text):
    return [{"role": "user", "content": text}]


def tool(name, description, **properties):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": {k: {"type": v} for k, v in properties.items()},
                       "required": list(properties), "additionalProperties": False}}}


WEATHER = tool("get_weather", "Get the weather for a city", city="string")
TIMER = tool("set_timer", "Set a timer", minutes="integer")
FRANCE = user("What is the capital of France?")


# ---- completions ----

def test_models(client):
    assert [m.id for m in client.models.list()] == ["base"]


def test_completion(client):
    r = client.completions.create(model="base", prompt="Once upon a time", seed=1, temperature=0.7)
    assert r.object == "text_completion" and r.choices[0].finish_reason == "length"
    assert r.usage.completion_tokens == 16 and r.usage.total_tokens == r.usage.prompt_tokens + 16


def test_completion_stream_with_usage(client):
    ask = dict(model="base", prompt="Once upon a time", seed=3, max_tokens=30, temperature=1)
    whole = client.completions.create(**ask)
    text, usage = "", []
    for chunk in client.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        text += "".join(c.text for c in chunk.choices)
        usage.append(chunk.usage)
    assert text == whole.choices[0].text
    assert usage[-1].completion_tokens == 30 and not any(usage[:-1])


def test_continuous_usage(client):
    stream = client.completions.create(model="base", prompt="The", max_tokens=5, stream=True, extra_body={
        "ignore_eos": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}})
    counts = [chunk.usage.completion_tokens for chunk in stream]
    assert counts == sorted(counts) and counts[-1] == 5


def test_prompts_of_every_kind(client):
    one = client.completions.create(model="base", prompt="Hello there", max_tokens=4, temperature=0,
                                    extra_body={"return_token_ids": True, "ignore_eos": True})
    many = client.completions.create(model="base", prompt=["Hello there", "The sea"], n=2, max_tokens=4, temperature=0,
                                     extra_body={"ignore_eos": True})
    assert [c.index for c in many.choices] == [0, 1, 2, 3]
    assert many.choices[0].text == many.choices[1].text == one.choices[0].text
    ids = client.completions.create(model="base", prompt=[[40, 41], [42]], max_tokens=2, temperature=0)
    assert len(ids.choices) == 2 and ids.usage.prompt_tokens == 3


def test_fill_in_the_middle(client):
    r = client.completions.create(model="base", prompt="int add(int a, int b) {", suffix="}", max_tokens=8, temperature=0)
    assert r.usage.prompt_tokens == 14     # three of them mark the gap


def test_echo_and_logprobs(client):
    r = client.completions.create(model="base", prompt="The cat sat", max_tokens=3, temperature=0, echo=True, logprobs=3)
    lp = r.choices[0].logprobs
    assert "".join(lp.tokens) == r.choices[0].text and r.choices[0].text.startswith("The cat sat")
    assert lp.token_logprobs[0] is None and all(x <= 0 for x in lp.token_logprobs[1:])
    assert all(r.choices[0].text[o:].startswith(t) for o, t in zip(lp.text_offset, lp.tokens))
    assert all(len(top) >= 3 for top in lp.top_logprobs[1:])
    stream = client.completions.create(model="base", prompt="The cat sat", max_tokens=3, temperature=0, echo=True, logprobs=3,
                                       stream=True)
    chunks = [c.choices[0] for c in stream]
    assert [t for c in chunks if c.logprobs for t in c.logprobs.tokens] == lp.tokens
    assert [o for c in chunks if c.logprobs for o in c.logprobs.text_offset] == lp.text_offset


def test_prompt_logprobs(client):
    r = client.completions.create(model="base", prompt="The cat sat", max_tokens=1, extra_body={"prompt_logprobs": 2})
    scores = r.choices[0].model_dump()["prompt_logprobs"]
    assert len(scores) == r.usage.prompt_tokens and scores[0] is None
    assert all(any(v["rank"] == 1 for v in s.values()) for s in scores[1:])


def test_best_of(client):
    ask = dict(model="base", prompt="A dog", max_tokens=5, seed=4, temperature=1.3, logprobs=0, extra_body={"ignore_eos": True})
    mean = lambda c: sum(c.logprobs.token_logprobs) / 5
    every = client.completions.create(**ask, n=5)
    best = client.completions.create(**ask, n=2, best_of=5)
    assert [mean(c) for c in best.choices] == sorted((mean(c) for c in every.choices), reverse=True)[:2]
    streamed = {}
    for chunk in client.completions.create(**ask, n=2, best_of=5, stream=True):
        for c in chunk.choices:
            streamed[c.index] = streamed.get(c.index, "") + c.text
    assert [streamed[0], streamed[1]] == [c.text for c in best.choices]


def test_stops(client):
    ask = dict(model="base", prompt="1, 2, 3, 4, 5,", max_tokens=16, temperature=0)
    text = client.completions.create(**ask).choices[0].text
    stop = text[4:6]
    r = client.completions.create(**ask, stop=stop).choices[0]
    assert r.text == text[:text.index(stop)] and r.finish_reason == "stop" and r.stop_reason == stop
    kept = client.completions.create(**ask, stop=[stop], extra_body={"include_stop_str_in_output": True}).choices[0]
    assert kept.text == r.text + stop
    ids = client.completions.create(**ask, extra_body={"return_token_ids": True}).choices[0].token_ids
    by_id = client.completions.create(**ask, extra_body={"stop_token_ids": [ids[2]]}).choices[0]
    assert by_id.finish_reason == "stop" and len(by_id.text) < len(text)


def test_sampling_fields(client):
    def ask(**more):
        body = {k: more.pop(k) for k in list(more) if k in ("min_p", "top_k", "typical_p", "repetition_penalty", "min_tokens",
                                                            "ignore_eos")}
        return client.completions.create(model="base", prompt="The old", max_tokens=8, extra_body=body, **more).choices[0].text

    greedy = ask(temperature=0)
    assert ask(temperature=2, top_k=1) == ask(temperature=1.5, top_p=0) == ask(temperature=1.1, min_p=1) == greedy
    assert ask(seed=9, temperature=1) == ask(seed=9, temperature=1) != ask(seed=10, temperature=1)
    assert ask(temperature=0, repetition_penalty=5.0) is not None
    assert ask(temperature=0, presence_penalty=2, frequency_penalty=2) is not None
    assert ask(temperature=0, min_tokens=8, ignore_eos=True) is not None
    first = client.completions.create(model="base", prompt="The old", max_tokens=1, temperature=0,
                                      extra_body={"return_token_ids": True}).choices[0].token_ids[0]
    assert ask(temperature=0, logit_bias={str(first): -100}) != greedy


def test_beam_search(client):
    ask = dict(model="base", prompt="The king", max_tokens=6, temperature=0, extra_body={"use_beam_search": True})
    r = client.completions.create(**ask, n=2, best_of=4)
    assert len(r.choices) == 2 and r.choices[0].text != r.choices[1].text


def test_timings(client):
    r = client.completions.create(model="base", prompt="The", max_tokens=4, extra_body={"include_timings": True})
    assert r.timings["predicted_n"] == r.usage.completion_tokens and r.timings["ttft_ms"] > 0


# ---- the form of an answer ----

def constrained(client, **body):
    return client.completions.create(model="base", prompt="Answer: ", max_tokens=60, temperature=1, seed=2,
                                     extra_body=body).choices[0].text


def test_forms(client):
    assert re.fullmatch(r"[0-9]{3}-[a-f]{2}", constrained(client, regex="[0-9]{3}-[a-f]{2}"))
    assert re.fullmatch(r"[A-Z]{4}", constrained(client, guided_regex="[A-Z]{4}"))
    assert constrained(client, choice=["red", "green"]) in ("red", "green")
    assert constrained(client, guided_choice=["red", "green"]) in ("red", "green")
    assert constrained(client, structured_outputs={"choice": ["red", "green"]}) in ("red", "green")
    assert constrained(client, grammar='root ::= "yes " [0-9] "!"')[:4] == "yes "
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "y"]}}, "required": ["a", "b"],
              "additionalProperties": False}
    for body in ({"guided_json": schema}, {"guided_json": json.dumps(schema)}, {"structured_outputs": {"json": schema}},
                 {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}):
        value = json.loads(constrained(client, **body))
        assert isinstance(value["a"], bool) and value["b"] in "xy" and len(value) == 2


def test_bad_forms(client):
    for field, body in {"regex": {"regex": "(a"}, "grammar": {"grammar": "root ::= ("}, "choice": {"choice": []},
                        "guided_json": {"guided_json": {"type": "nonsense"}}, "guided_regex": {"regex": "a", "guided_regex": "b"},
                        }.items():
        with pytest.raises(openai.BadRequestError) as e:
            constrained(client, **body)
        assert e.value.param == field


def test_parse_pydantic(client):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    r = client.chat.completions.parse(
        model="base", messages=user("Give name and age as JSON: Tom is a boy. He is 7 years old."), response_format=Person,
        temperature=0, max_tokens=60)
    assert isinstance(r.choices[0].message.parsed, Person)


def test_json_object(client):
    for seed in range(3):
        r = client.chat.completions.create(model="base", messages=user("Give name and age as JSON: Tom is 7 years old."), seed=seed,
                                           response_format={"type": "json_object"}, max_tokens=120)
        assert r.choices[0].finish_reason == "stop" and isinstance(json.loads(r.choices[0].message.content), dict)


# ---- chat ----

def test_chat(client):
    r = client.chat.completions.create(model="base", messages=FRANCE, temperature=0, max_completion_tokens=40)
    assert "Paris" in r.choices[0].message.content and r.choices[0].finish_reason == "stop"
    assert r.choices[0].message.role == "assistant" and r.object == "chat.completion"


def test_chat_stream(client):
    whole = client.chat.completions.create(model="base", messages=FRANCE, temperature=0)
    chunks = list(client.chat.completions.create(model="base", messages=FRANCE, temperature=0, stream=True,
                                                 stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].object == "chat.completion.chunk"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage or chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({c.id for c in chunks}) == 1


def test_chat_logprobs(client):
    r = client.chat.completions.create(model="base", messages=FRANCE, temperature=0, logprobs=True, top_logprobs=4)
    tokens = r.choices[0].logprobs.content
    assert b"".join(bytes(t.bytes) for t in tokens).decode() == r.choices[0].message.content
    assert all(len(t.top_logprobs) == 4 and t.top_logprobs[0].token == t.token for t in tokens)
    streamed = [t for c in client.chat.completions.create(model="base", messages=FRANCE, temperature=0, logprobs=True,
                                                          top_logprobs=4, stream=True)
                if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [(t.token, t.logprob) for t in streamed] == [(t.token, t.logprob) for t in tokens]


def test_chat_n(client):
    r = client.chat.completions.create(model="base", messages=user("Tell me a story."), n=3, max_tokens=12, seed=1, temperature=1)
    assert len({c.message.content for c in r.choices}) > 1


def test_continue_final_message(client):
    r = client.chat.completions.create(
        model="base", messages=FRANCE + [{"role": "assistant", "content": "The capital of France is"}], temperature=0, max_tokens=8,
        extra_body={"continue_final_message": True, "add_generation_prompt": False})
    assert "Paris" in r.choices[0].message.content


def test_ignored_fields(client):
    r = client.chat.completions.create(model="base", messages=FRANCE, max_tokens=2, user="u", metadata={"a": "b"}, store=False,
                                       service_tier="auto", reasoning_effort="low", extra_body={"no_such_field": 1})
    assert r.choices


def test_cached_tokens(client):
    long = user("Remember these words: " + "apple pear plum " * 30)
    client.chat.completions.create(model="base", messages=long, max_tokens=1)
    assert client.chat.completions.create(model="base", messages=long, max_tokens=1).usage.prompt_tokens_details.cached_tokens > 50


def test_keys_share_no_past(client, bob):
    secret = user("The secret word is " + "banana " * 60)
    client.chat.completions.create(model="base", messages=secret, max_tokens=1)
    assert bob.chat.completions.create(model="base", messages=secret, max_tokens=1).usage.prompt_tokens_details.cached_tokens == 0
    salted = client.chat.completions.create(model="base", messages=secret, max_tokens=1, extra_body={"cache_salt": "other"})
    assert salted.usage.prompt_tokens_details.cached_tokens == 0


# ---- tools ----

def test_tool_call_and_answer(client):
    messages = user("What is the weather in Rome?")
    r = client.chat.completions.create(model="base", messages=messages, tools=[WEATHER, TIMER], temperature=0).choices[0]
    call = r.message.tool_calls[0]
    assert r.finish_reason == "tool_calls" and call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    messages += [r.message, {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21, "condition": "sunny"}'}]
    answer = client.chat.completions.create(model="base", messages=messages, tools=[WEATHER, TIMER], temperature=0).choices[0]
    assert "21" in answer.message.content


def test_tool_stream(client):
    name, arguments, ids, finish = "", "", set(), None
    for chunk in client.chat.completions.create(model="base", messages=user("Set a timer for 12 minutes."), tools=[WEATHER, TIMER],
                                                temperature=0, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.index == 0
            name += call.function.name or ""
            arguments += call.function.arguments or ""
            ids |= {call.id} - {None}
        finish = chunk.choices[0].finish_reason or finish
    assert name == "set_timer" and json.loads(arguments) == {"minutes": 12} and len(ids) == 1 and finish == "tool_calls"


@pytest.mark.parametrize("seed", range(3))
def test_tool_required(client, seed):
    def call(choice):
        r = client.chat.completions.create(model="base", messages=user("Hello!"), tools=[WEATHER, TIMER], tool_choice=choice, seed=seed,
                                           max_tokens=200, parallel_tool_calls=False)
        return r.choices[0]

    c = call("required")
    assert c.finish_reason == "tool_calls" and c.message.tool_calls[0].function.name in ("get_weather", "set_timer")
    c = call({"type": "function", "function": {"name": "set_timer"}})
    assert len(c.message.tool_calls) == 1 and c.message.tool_calls[0].function.name == "set_timer"
    assert isinstance(json.loads(c.message.tool_calls[0].function.arguments)["minutes"], int)
    assert call("none").message.tool_calls is None


# ---- embeddings ----

def test_embeddings(client):
    a = client.embeddings.create(model="base", input=["The cat sat.", "A dog ran."])
    b = client.embeddings.create(model="base", input="A dog ran.", encoding_format="float")
    assert len(a.data) == 2 and a.usage.prompt_tokens == a.usage.total_tokens > 4
    assert a.data[1].embedding == pytest.approx(b.data[0].embedding, abs=1e-7)
    assert abs(sum(x * x for x in b.data[0].embedding) - 1) < 1e-3
    last = client.embeddings.create(model="base", input="A dog ran.", extra_body={"pooling": "last"})
    assert last.data[0].embedding != a.data[1].embedding
    with pytest.raises(openai.BadRequestError) as e:
        client.embeddings.create(model="base", input="x", dimensions=8)
    assert e.value.param == "dimensions"
    assert len(client.embeddings.create(model="base", input=["a b c"] * 300).data) == 300


# ---- responses ----

def test_responses(client, bob):
    r = client.responses.create(model="base", input="What is the capital of France?", temperature=0, max_output_tokens=40)
    assert "Paris" in r.output_text and r.status == "completed" and r.usage.output_tokens > 1
    assert client.responses.retrieve(r.id).output_text == r.output_text
    more = client.responses.create(model="base", input="What is the capital of Italy?", previous_response_id=r.id, temperature=0)
    assert more.usage.input_tokens > r.usage.total_tokens and more.previous_response_id == r.id
    for call in (lambda: bob.responses.retrieve(r.id), lambda: bob.responses.delete(r.id),
                 lambda: bob.responses.create(model="base", input="x", previous_response_id=r.id)):
        with pytest.raises(openai.NotFoundError):
            call()
    client.responses.delete(r.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(r.id)
    hidden = client.responses.create(model="base", input="Hi", store=False, max_output_tokens=2)
    assert hidden.status in ("incomplete", "completed")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(hidden.id)


def test_responses_background(client, bob):
    r = client.responses.create(model="base", input="What is the capital of France?", temperature=0, background=True)
    assert r.status == "in_progress" and r.background
    for _ in range(200):
        if (got := client.responses.retrieve(r.id)).status != "in_progress":
            break
        time.sleep(0.05)
    assert got.status == "completed" and "Paris" in got.output_text
    items = list(client.responses.input_items.list(r.id))
    assert len(items) == 1 and items[0].content[0].text == "What is the capital of France?"
    many = client.responses.create(model="base", input=[{"role": "user", "content": f"{i}"} for i in range(45)], max_output_tokens=1)
    assert [i.content[0].text for i in client.responses.input_items.list(many.id, limit=10, order="asc")] == [str(i) for i in range(45)]
    endless = client.responses.create(model="base", input="Hi", background=True, extra_body={"ignore_eos": True})
    with pytest.raises(openai.NotFoundError):
        bob.responses.cancel(endless.id)
    assert client.responses.cancel(endless.id).status == "cancelled"
    assert client.responses.retrieve(endless.id).status == "cancelled"
    with pytest.raises(openai.NotFoundError) as e:
        client.responses.create(model="base", input="x", conversation="conv_1")
    assert e.value.param == "conversation"


def test_responses_stream_of_the_background(client, bob):
    ask = dict(model="base", input="What is the capital of France?", temperature=0, background=True, stream=True)
    seen = []
    with client.responses.create(**ask) as stream:          # goes away after the first words
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    id, last = seen[0].response.id, seen[-1].sequence_number
    assert [e.sequence_number for e in seen] == list(range(last + 1))
    rest = list(client.responses.retrieve(id, stream=True, starting_after=last))
    assert [e.sequence_number for e in rest] == list(range(last + 1, last + 1 + len(rest)))
    assert rest[-1].type == "response.completed" and "Paris" in rest[-1].response.output_text
    text = "".join(e.delta for e in seen + rest if e.type == "response.output_text.delta")
    assert text == rest[-1].response.output_text == client.responses.retrieve(id).output_text
    with pytest.raises(openai.NotFoundError):
        bob.responses.retrieve(id, stream=True)
    plain = client.responses.create(model="base", input="Hi", max_output_tokens=2)
    with pytest.raises(openai.BadRequestError) as e:
        client.responses.retrieve(plain.id, stream=True)
    assert e.value.param == "stream"


def test_conversations(client, bob):
    c = client.conversations.create(metadata={"topic": "capitals"}, items=[{"type": "message", "role": "user", "content": "Hi"}])
    ask = dict(model="base", temperature=0, max_output_tokens=40)
    first = client.responses.create(**ask, conversation=c.id, input="What is the capital of France?")
    assert "Paris" in first.output_text
    with client.responses.stream(**ask, extra_body={"conversation": c.id}, input="What is the capital of Italy?") as stream:
        assert stream.get_final_response().conversation.id == c.id
    items = list(client.conversations.items.list(c.id, order="asc", limit=2))
    assert [getattr(i, "role", None) for i in items] == ["user", "user", "assistant", "user", "assistant"]
    more = client.conversations.items.create(c.id, items=[{"type": "message", "role": "user", "content": "Bye"}])
    assert client.conversations.items.retrieve(more.data[0].id, conversation_id=c.id).content[0].text == "Bye"
    client.conversations.items.delete(more.data[0].id, conversation_id=c.id)
    assert client.conversations.update(c.id, metadata={"topic": "none"}).metadata == {"topic": "none"}
    for call in (lambda: bob.conversations.retrieve(c.id), lambda: bob.responses.create(**ask, conversation=c.id, input="x")):
        with pytest.raises(openai.NotFoundError):
            call()
    assert client.conversations.delete(c.id).deleted


def test_responses_stream(client):
    with client.responses.stream(model="base", input="What is the capital of France?", temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    types = [e.type for e in events]
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response.completed"
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == final.output_text
    for wanted in ("output_item.added", "content_part.added", "output_text.done", "content_part.done", "output_item.done"):
        assert "response." + wanted in types


def test_responses_tools(client):
    flat = [{"type": "function", **t["function"], "strict": True} for t in (WEATHER, TIMER)]
    ask = dict(model="base", tools=flat, temperature=0)
    r = client.responses.create(**ask, input="What is the weather in Rome?")
    call = r.output[0]
    assert call.type == "function_call" and json.loads(call.arguments) == {"city": "Rome"}
    history = [{"role": "user", "content": "What is the weather in Rome?"}, call.model_dump(),
               {"type": "function_call_output", "call_id": call.call_id, "output": '{"temperature": 21, "condition": "sunny"}'}]
    assert "21" in client.responses.create(**ask, input=history).output_text
    assert "21" in client.responses.create(**ask, input=history[2:], previous_response_id=r.id).output_text
    with client.responses.stream(**ask, input="What is the weather in Rome?") as stream:
        events = list(stream)
    assert "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta") == call.arguments


def test_responses_parse(client):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    r = client.responses.parse(model="base", input="Give name and age as JSON: Tom is 7 years old.", text_format=Person, temperature=0,
                               instructions="Answer in JSON.", max_output_tokens=80)
    assert r.status == "completed" and isinstance(r.output_parsed, Person)


# ---- errors, company ----

@pytest.mark.parametrize("param,body", [
    ("n", {"n": 10 ** 9}), ("temperature", {"temperature": 3}), ("max_tokens", {"max_tokens": -1}), ("top_p", {"top_p": 1.5}),
    ("presence_penalty", {"presence_penalty": 9}), ("seed", {"seed": 10 ** 30}), ("stop", {"stop": [1]}),
    ("logit_bias", {"logit_bias": {"-1": 1}}), ("top_k", {"top_k": -2}), ("stream", {"stream": "yes"}),
    ("messages[0].role", {"messages": [{"role": "x", "content": "y"}]}), ("messages", {"messages": "hello"}),
])
def test_errors(client, param, body):
    with pytest.raises(openai.BadRequestError) as e:
        client.chat.completions.create(model="base", messages=FRANCE, extra_body=body)
    assert e.value.param == param and e.value.type == "invalid_request_error"


def test_other_errors(client, url):
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt="x")
    with pytest.raises(openai.BadRequestError) as e:
        client.completions.create(model="base", prompt="x", max_tokens=10 ** 6)
    assert e.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=url + "/v1", api_key="sk-wrong", max_retries=0).models.list()


def test_same_alone_and_under_load(client, bob):
    def ask(who, seed):
        return who.chat.completions.create(model="base", messages=user("Tell me a story about a fox."), seed=seed, temperature=1,
                                           max_tokens=40, logprobs=True, top_logprobs=2).choices[0].model_dump()

    alone = [ask(client, s) for s in range(4)]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        loaded = list(pool.map(lambda i: (i % 4, ask(client if i % 3 else bob, i % 4)), range(48)))
    assert all(answer == alone[seed] for seed, answer in loaded)
