#!/usr/bin/env python3
"""Anthropic's API as its own Python client sees it: the default model behind /v1/messages."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Server, check, finish, needs

anthropic = needs("anthropic")
ASKED = "What is the capital of France?"
QUESTION = [{"role": "user", "content": ASKED}]
CALCULATOR = {"name": "calculator", "description": "Computes an expression.",
              "input_schema": {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}}


def fields_of(fields):
    """Newer clients have no parameters for sampling: they go into the body by hand."""
    extra = {name: fields.pop(name) for name in ("temperature", "top_k", "top_p", "output_config") if name in fields}
    return {"timeout": 60, **fields, "extra_body": extra}


def create(client, **fields):
    return client.messages.create(**fields_of(fields))


def stream(client, **fields):
    return client.messages.stream(**fields_of(fields))


def refused(what, status, text, call):
    try:
        call()
        check(what, False, "it was answered")
    except anthropic.APIStatusError as e:
        said = e.body.get("error", {}) if isinstance(e.body, dict) else {}
        check(what, e.status_code == status and text in said.get("message", "") and e.body.get("type") == "error", (e.status_code, e.body))
        return said.get("type"), e


def messages(client, model):
    m = create(client, model=model, max_tokens=40, temperature=0, messages=QUESTION)
    check("a message is answered", m.type == "message" and m.role == "assistant" and "Paris" in m.content[0].text, m)
    check("it says why it ended, and what it took", m.stop_reason == "end_turn" and m.usage.input_tokens > 0 and
          m.usage.output_tokens > 0 and m.id.startswith("msg_"), m)
    check("the id of the call comes back", m._request_id.startswith("req_"), m._request_id)
    whole = m.content[0].text
    with stream(client, model=model, max_tokens=40, temperature=0, messages=QUESTION) as told:
        kinds = [event.type for event in told]
        final = told.get_final_message()
    check("a stream says the same", final.content[0].text == whole and final.stop_reason == "end_turn", final)
    check("in the order of events", kinds[0] == "message_start" and kinds[-1] == "message_stop" and
          kinds.index("content_block_start") < kinds.index("content_block_delta") < kinds.index("content_block_stop"), kinds)
    check("a stream counts the same", final.usage.output_tokens == m.usage.output_tokens and
          final.usage.input_tokens + final.usage.cache_read_input_tokens ==
          m.usage.input_tokens + m.usage.cache_read_input_tokens, (final.usage, m.usage))
    blocks = create(client, model=model, max_tokens=40, temperature=0, messages=[
        {"role": "user", "content": [{"type": "text", "text": ASKED, "cache_control": {"type": "ephemeral"}}]}])
    check("blocks of text are text", blocks.content[0].text == whole, blocks)
    parts = create(client, model=model, max_tokens=40, temperature=0, messages=[
        {"role": "user", "content": "What is"}, {"role": "user", "content": "that?"}])
    check("turns of one role are one turn", parts.usage.input_tokens + parts.usage.cache_read_input_tokens ==
          client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "What is\nthat?"}]).input_tokens, parts)


def options(client, model):
    story = [{"role": "user", "content": "Tell me a story."}]
    short = create(client, model=model, max_tokens=3, temperature=0, messages=story)
    check("max_tokens ends an answer", short.stop_reason == "max_tokens" and short.usage.output_tokens == 3, short)
    full = create(client, model=model, max_tokens=30, temperature=0, messages=story).content[0].text
    word = full.split()[4]
    stopped = create(client, model=model, max_tokens=30, temperature=0, messages=story, stop_sequences=[word])
    check("a stop sequence ends it before itself", stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == word and
          stopped.content[0].text == full[:full.index(word)], stopped)
    n = client.messages.count_tokens(model=model, messages=story).input_tokens
    with_system = client.messages.count_tokens(model=model, messages=story, system="Be kind.").input_tokens
    blocks = client.messages.count_tokens(model=model, messages=story, system=[{"type": "text", "text": "Be kind."}]).input_tokens
    check("tokens are counted, the system's too", 0 < n < with_system == blocks, (n, with_system, blocks))
    begun = create(client, model=model, max_tokens=20, temperature=0,
                                   messages=QUESTION + [{"role": "assistant", "content": "The answer"}])
    check("an answer that was begun goes on", begun.content and not begun.content[0].text.startswith("The answer"), begun)
    create(client, model=model, max_tokens=2, messages=QUESTION, temperature=1, top_k=5, top_p=0.9, metadata={"user_id": "u"},
                           service_tier="auto")
    check("other options are taken", True)
    thought = create(client, model=model, max_tokens=1200, messages=QUESTION, temperature=1,
                                     thinking={"type": "enabled", "budget_tokens": 1024})
    check("thinking is taken", thought.content, thought)
    long = create(client, model=model, max_tokens=20000, temperature=0, messages=story)
    check("more than fits is as much as fits", long.stop_reason in ("end_turn", "model_context_window_exceeded"), long)


def tools(client, model):
    asked = [{"role": "user", "content": "What is 16+17?"}]
    m = create(client, model=model, max_tokens=60, temperature=0, messages=asked, tools=[CALCULATOR])
    calls = [b for b in m.content if b.type == "tool_use"]
    if not check("a tool is called", len(calls) == 1 and calls[0].name == "calculator" and calls[0].input.get("expression") and
                 m.stop_reason == "tool_use", m):
        return
    with stream(client, model=model, max_tokens=60, temperature=0, messages=asked, tools=[CALCULATOR]) as told:
        raw = [e for e in told if e.type == "content_block_delta" and e.delta.type == "input_json_delta"]
        final = told.get_final_message()
    check("its input streams", raw and [b.input for b in final.content if b.type == "tool_use"] == [calls[0].input] and
          final.stop_reason == "tool_use", final)
    history = asked + [{"role": "assistant", "content": m.content},
                       {"role": "user", "content": [{"type": "tool_result", "tool_use_id": calls[0].id, "content": "33"}]}]
    after = create(client, model=model, max_tokens=60, temperature=0, messages=history, tools=[CALCULATOR])
    history[-1]["content"][0]["content"] = [{"type": "text", "text": "33, that is " + "x " * 20}]
    longer = create(client, model=model, max_tokens=60, temperature=0, messages=history, tools=[CALCULATOR])
    sizes = [m.usage.input_tokens + m.usage.cache_read_input_tokens for m in (after, longer)]
    check("a result is read", after.content and sizes[0] + 20 <= sizes[1], sizes)
    n = [client.messages.count_tokens(model=model, messages=asked, tools=t).input_tokens for t in ([], [CALCULATOR])]
    check("tools are input", n[0] < n[1], n)
    none = create(client, model=model, max_tokens=60, temperature=0, messages=asked, tools=[CALCULATOR],
                                  tool_choice={"type": "none"})
    check("tool_choice none", all(b.type == "text" for b in none.content), none)


def forced(client, model):
    for choice in ({"type": "any"}, {"type": "tool", "name": "calculator", "disable_parallel_tool_use": True}):
        m = create(client, model=model, max_tokens=80, temperature=0, messages=[{"role": "user", "content": "Hello!"}],
                                   tools=[CALCULATOR], tool_choice=choice)
        check(f"a tool must be called: {choice['type']}", [b.type for b in m.content] == ["tool_use"] and
              isinstance(m.content[0].input.get("expression"), str), m)


def forms(client, model):
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"], "additionalProperties": False}
    m = create(client, model=model, max_tokens=40, temperature=0, messages=QUESTION,
               output_config={"format": {"type": "json_schema", "schema": schema}})
    check("an answer of a form", json.loads(m.content[0].text)["city"] in ("Paris", "Rome"), m)


def refusals(client, model):
    def asking(**fields):
        return lambda: create(client, **{"model": model, "max_tokens": 5, "messages": QUESTION, **fields})

    def said(*blocks, role="user"):
        return [{"role": "user", "content": "Hi"}, {"role": role, "content": list(blocks)}]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    use = {"type": "tool_use", "id": "a", "name": "calculator", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "b", "content": "1"}
    for what, text, fields in [
        ("no messages", "messages", {"messages": []}),
        ("a role that is none", "messages.0.role", {"messages": [{"role": "system", "content": "x"}]}),
        ("max_tokens 0", "max_tokens", {"max_tokens": 0}),
        ("max_tokens beyond all bounds", "max_tokens", {"max_tokens": 10 ** 12}),
        ("a temperature over 1", "temperature", {"temperature": 1.5}),
        ("an empty stop", "stop_sequences", {"stop_sequences": [""]}),
        ("an image", "messages.1.content.0.type: 'image'", {"messages": said(image)}),
        ("a block without a type", "messages.1.content.0.type", {"messages": said({"text": "x"})}),
        ("an image in a result", "content.0.content.0.type: 'image'", {"messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{**result, "tool_use_id": "a", "content": [image]}]}]}),
        ("a result of no call", "tool_use_id", {"messages": said(result)}),
        ("a call without its result", "no tool_result", {"messages": said(use, role="assistant")}),
        ("a tool of the user", "cannot stand here", {"messages": said(use)}),
        ("a tool of Anthropic's servers", "tools.0.type: 'web_search_20250305'",
         {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("a choice of no tools", "tool_choice", {"tool_choice": {"type": "any"}}),
        ("a choice of another tool", "tool_choice.name", {"tools": [CALCULATOR], "tool_choice": {"type": "tool", "name": "x"}}),
        ("thinking without a budget", "thinking.budget_tokens", {"thinking": {"type": "enabled"}}),
        ("a budget over max_tokens", "thinking.budget_tokens", {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ]:
        kind = refused(what, 400, text, asking(**fields))
        check(what + ": its type", kind and kind[0] == "invalid_request_error", kind)
    kind = refused("another model", 404, "other", asking(model="other"))
    check("its type is not_found_error", kind and kind[0] == "not_found_error", kind)
    refused("a prompt that can never fit", 400, "", asking(messages=[{"role": "user", "content": "word " * 5000}]))


def keys():
    with Server("--api-key", "right") as s:
        wrong = anthropic.Anthropic(base_url=s.url, api_key="wrong", max_retries=0)
        model = s.get("/v1/models", {"x-api-key": "right"})[1]["data"][0]["id"]
        kind = refused("a wrong key", 401, "", lambda: create(wrong, model=model, max_tokens=1, messages=QUESTION))
        check("its type is authentication_error", kind and kind[0] == "authentication_error", kind)
        right = anthropic.Anthropic(base_url=s.url, api_key="right", max_retries=0)
        check("x-api-key opens", create(right, model=model, max_tokens=1, messages=QUESTION).content)


def run():
    with Server() as s:
        client = anthropic.Anthropic(base_url=s.url, api_key="none", max_retries=0)
        model = s.get("/v1/models")[1]["data"][0]["id"]
        messages(client, model)
        options(client, model)
        tools(client, model)
        forced(client, model)
        forms(client, model)
        refusals(client, model)
        status, body, heads = s.post("/v1/messages", b"{")
        check("broken JSON", status == 400 and body["error"]["type"] == "invalid_request_error" and
              heads["request-id"].startswith("req_"), body)
    keys()


finish(run)
