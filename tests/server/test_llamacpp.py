#!/usr/bin/env python3
"""llama.cpp's API: /completion in its forms, /infill, tokens, templates, properties, slots, and what is refused."""
import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serving import Server, check, finish

STORY = "Once upon a time"


def completions(s):
    def ask(**fields):
        status, answer, _ = s.post("/completion", {"prompt": STORY, "n_predict": 8, "temperature": 0, **fields})
        return answer if check(f"{list(fields)} is answered", status == 200, answer) else None
    one = ask(return_tokens=True)
    ids = s.post("/tokenize", {"content": STORY})[1]["tokens"]
    check("it has all that an answer has", one["stop"] and one["stop_type"] == "limit" and one["stopping_word"] == "" and
          one["tokens_predicted"] == 8 == len(one["tokens"]) and one["tokens_evaluated"] == len(ids) and not one["truncated"] and
          one["prompt"] == STORY and one["index"] == 0 and one["timings"]["predicted_n"] == 8 and
          one["generation_settings"]["n_predict"] == 8 and one["generation_settings"]["temperature"] == 0, one)
    check("its tokens are its text", s.post("/detokenize", {"tokens": one["tokens"]})[1]["content"] == one["content"])
    text = one["content"]
    for what, prompt in [("ids", ids), ("ids and texts", [*ids[:2], "on a time"] if ids[:2] else ids), ("an object", {"prompt_string": STORY})]:
        got = ask(prompt=prompt)
        check(f"a prompt of {what}", what == "ids and texts" or got["content"] == text, got["content"])
    several = ask(prompt=[STORY, ids, {"prompt_string": "The sea"}])
    check("several prompts", [a["index"] for a in several] == [0, 1, 2] and several[0]["content"] == several[1]["content"] == text)
    samples = ask(n_cmpl=3, temperature=1, seed=5)
    check("several answers", len(samples) == 3 and len({a["content"] for a in samples}) > 1)
    check("a seed gives them again", [a["content"] for a in ask(n_cmpl=3, temperature=1, seed=5)] == [a["content"] for a in samples])
    alone = ask(temperature=1, seed=-1)["generation_settings"]["seed"]
    check("a random seed is told", alone >= 0, alone)
    word = text.split()[-1]
    stopped = ask(stop=[word])
    check("a word ends it", stopped["stop_type"] == "word" and stopped["stopping_word"] == word and
          stopped["content"] == text[:text.index(word)], stopped)
    none = ask(n_predict=0)
    check("n_predict 0 reads the prompt only", none["content"] == "" and none["tokens_predicted"] == 0, none)
    ended = ask(prompt="<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", n_predict=60)
    check("the model's own end", ended["stop_type"] == "eos", ended)
    check("more than fits is cut, and says so", ask(n_predict=10 ** 6, ignore_eos=True)["truncated"])
    again = ask(prompt=STORY * 20, cache_prompt=False), ask(prompt=STORY * 20, cache_prompt=False)
    check("cache_prompt false takes no other's past", again[1]["tokens_cached"] == 0, again[1]["tokens_cached"])
    ask(prompt=STORY * 20)
    check("and true does", ask(prompt=STORY * 20)["tokens_cached"] > 0)
    few = ask(response_fields=["content", "generation_settings/n_predict", "none/such"])
    check("only the fields that were named", few == {"content": text, "n_predict": 8}, few)
    hot = ask(temperature=1, seed=1, top_k=1, samplers=["top_k"])
    check("samplers that are named act", hot["content"] == text, hot["content"])
    cold = ask(temperature=0.7, top_k=1, samplers=["temperature"])["generation_settings"]
    check("those that are not do not", cold["top_k"] == 0 and cold["temperature"] == 0.7, cold)


def probabilities(s):
    def ask(**fields):
        return s.post("/completion", {"prompt": STORY, "n_predict": 4, "temperature": 0, "n_probs": 3, **fields})[1]
    plain = ask()["completion_probabilities"]
    check("a probability for each token", len(plain) == 4 and all(len(p["top_logprobs"]) == 3 and p["logprob"] <= 0 and
          bytes(p["bytes"]).decode() == p["token"] and p["top_logprobs"][0]["id"] == p["id"] for p in plain), plain)
    greedy = ask(post_sampling_probs=True)["completion_probabilities"]
    check("behind the samplers one is left", all(p["prob"] == 1 and len(p["top_probs"]) == 1 for p in greedy), greedy)
    warm = ask(post_sampling_probs=True, temperature=1, seed=3)["completion_probabilities"]
    check("or all are", all(0 < p["prob"] <= 1 and math.isclose(sum(t["prob"] for t in p["top_probs"]), 1, abs_tol=1) for p in warm))
    status, answer, _ = s.post("/completion", {"prompt": STORY, "n_probs": 1, "post_sampling_probs": True, "temperature": 1, "top_k": 4})
    check("what is not known is refused", status == 400 and "post_sampling_probs" in answer["error"]["message"], answer)


def biases(s):
    def ask(bias):
        return s.post("/completion", {"prompt": STORY, "n_predict": 1, "temperature": 0, "return_tokens": True, "logit_bias": bias})[1]
    first = ask([])["tokens"][0]
    other = s.post("/tokenize", {"content": " sea"})[1]["tokens"][0]
    for what, bias in [("pairs", [[other, 100]]), ("texts", [[" sea", 100.0]]), ("an object", {str(other): 100}), ("a text's object", {" sea": 100})]:
        check(f"a bias by {what}", ask(bias)["tokens"] == [other], ask(bias))
    check("false bans", ask([[first, False]])["tokens"] != [first])
    check("a bias beyond bounds", s.post("/completion", {"prompt": "a", "logit_bias": [[1, 1e9]]})[0] == 400)


def streams(s):
    fields = {"prompt": STORY, "n_predict": 8, "temperature": 0}
    whole = s.post("/completion", {**fields, "return_tokens": True})[1]
    parts = [data for _, data in s.events("/completion", {**fields, "stream": True, "n_probs": 1})]
    check("a stream says the same", "".join(p["content"] for p in parts) == whole["content"] and
          sum((p["tokens"] for p in parts), []) == whole["tokens"], parts)
    check("its last part says how it ended", [p["stop"] for p in parts] == [False] * (len(parts) - 1) + [True] and
          parts[-1]["stop_type"] == "limit" and parts[-1]["tokens_predicted"] == 8 and "timings" in parts[-1], parts[-1])
    check("probabilities come with the tokens", sum(len(p.get("completion_probabilities", [])) for p in parts) == 8)
    several = [data for _, data in s.events("/completions", {**fields, "prompt": [STORY, "The sea"], "stream": True})]
    ends = [p["index"] for p in several if p["stop"]]
    check("several prompts stream side by side", sorted(ends) == [0, 1] and
          "".join(p["content"] for p in several if p["index"] == 0) == whole["content"], ends)


def gaps(s):
    got = s.post("/infill", {"input_prefix": "def add(a, b):\n", "input_suffix": "\n", "prompt": "    return", "n_predict": 4})[1]
    check("a gap is filled", got["prompt"] == "<|fim_prefix|>def add(a, b):\n<|fim_suffix|>\n<|fim_middle|>    return", got["prompt"])
    more = s.post("/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 1,
                              "input_extra": [{"filename": "x.py", "text": "import sys\n"}]})[1]
    check("other files come before it", "import sys\n" in more["prompt"] and
          more["prompt"].index("import sys") < more["prompt"].index("<|fim_prefix|>"), more["prompt"])


def texts(s):
    for text in ["Hello, world!", "á and あ", "", "a<|im_end|>b"]:
        tokens = s.post("/tokenize", {"content": text})[1]["tokens"]
        check(f"{text!r} comes back", s.post("/detokenize", {"tokens": tokens})[1]["content"] == text, tokens)
    pieces = s.post("/tokenize", {"content": "á", "with_pieces": True})[1]["tokens"]
    raw = b"".join(p["piece"].encode() if isinstance(p["piece"], str) else bytes(p["piece"]) for p in pieces)
    check("pieces that are no text are bytes", raw == "á".encode(), pieces)
    special = s.post("/tokenize", {"content": "<|im_end|>"})[1]["tokens"], s.post("/tokenize", {"content": "<|im_end|>", "parse_special": False})[1]["tokens"]
    check("control tokens are parsed unless told not to", len(special[0]) == 1 < len(special[1]), special)
    prompt = s.post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})[1]["prompt"]
    check("a conversation as the model reads it", "user\nHi" in prompt and prompt.endswith("assistant\n"), prompt)


def forms(s):
    def ask(**fields):
        return s.post("/completion", {"prompt": "The answer:", "n_predict": 40, "temperature": 0, **fields})[1]["content"]
    check("a grammar", ask(grammar='root ::= "yes" | "no"') in ("yes", "no"))
    check("an empty grammar is none", ask(grammar="") == ask())
    made = json.loads(ask(json_schema={"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"]}))
    check("a schema", 0 <= made["n"] <= 9, made)


def state(s):
    props = s.get("/props")[1]
    check("properties", props["total_slots"] == 3 and props["chat_template"] and props["default_generation_settings"]["n_ctx"] > 0 and
          "temperature" in props["default_generation_settings"]["params"], props)
    slots = s.get("/slots")[1]
    check("slots", len(slots) == 3 and not any(slot["is_processing"] for slot in slots), slots)


def refusals(s):
    for what, path, text, body in [
        ("no prompt", "/completion", "prompt: is missing", {}),
        ("an id that is none", "/completion", "prompt", {"prompt": [1, 10 ** 9]}),
        ("a list within a list within", "/completion", "prompt", {"prompt": [[[1]]]}),
        ("no prompts", "/completion", "prompt", {"prompt": []}),
        ("n_predict beyond bounds", "/completion", "n_predict", {"prompt": "a", "n_predict": 10 ** 12}),
        ("n_predict as text", "/completion", "n_predict", {"prompt": "a", "n_predict": "5"}),
        ("a million answers", "/completion", "n_cmpl", {"prompt": "a", "n_cmpl": 10 ** 6}),
        ("mirostat", "/completion", "mirostat", {"prompt": "a", "mirostat": 2}),
        ("a sampler that is none", "/completion", "samplers", {"prompt": "a", "samplers": ["best"]}),
        ("an image", "/completion", "multimodal_data", {"prompt": {"prompt_string": "a", "multimodal_data": ["aGk="]}}),
        ("a gap without an end", "/infill", "input_suffix", {"input_prefix": "a"}),
        ("nothing to tokenize", "/tokenize", "content", {}),
        ("tokens that are none", "/detokenize", "tokens", {"tokens": [-1]}),
        ("no messages", "/apply-template", "messages", {}),
        ("a broken schema", "/completion", "json_schema", {"prompt": "a", "json_schema": 5}),
    ]:
        status, answer, _ = s.post(path, body)
        good = status == 400 and isinstance(answer, dict) and text in answer["error"]["message"] and answer["error"]["code"] == 400
        check(what, good and answer["error"]["type"] == "invalid_request_error", answer)


def run():
    with Server("--parallel", "3") as s:
        for part in (completions, probabilities, biases, streams, gaps, texts, forms, state, refusals):
            part(s)
    with Server("--api-key", "user", "--api-key", "boss ops admin") as s:
        check("others' requests are the administrator's to see",
              [s.get("/slots", {"Authorization": f"Bearer {key}"})[0] for key in ("user", "boss")] == [403, 200])
        status, answer, _ = s.post("/tokenize", {"content": "a"})
        check("no key", status == 401 and answer["error"]["type"] == "authentication_error" and answer["error"]["code"] == 401, answer)


finish(run)
