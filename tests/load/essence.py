"""What of an answer must be the same bits whoever asks beside it: all but ids, times, and what the cache saved
(Anthropic's input_tokens are those that were not cached)."""
import json

PASSING = {"id", "created", "created_at", "completed_at", "system_fingerprint", "timings", "prompt_tokens_details",
           "input_tokens_details", "cache_read_input_tokens", "cache_creation_input_tokens", "input_tokens", "tokens_cached",
           "tokens_evaluated", "id_slot", "call_id", "tool_call_id", "item_id", "sequence_number", "obfuscation"}


def strip(value):
    if isinstance(value, dict):
        return {key: strip(inner) for key, inner in value.items() if key not in PASSING}
    return [strip(inner) for inner in value] if isinstance(value, list) else value


def events(body):
    """The data of each event; an end marker is left out."""
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"\n".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if data and data != b"[DONE]":
            yield json.loads(data)


def join(parts, path, value):
    """Gathers what a stream says: texts of one place are joined, since parts may be cut anywhere; numbers and the rest
    of it are listed. Nulls say nothing."""
    if isinstance(value, dict):
        where = path + (str(value["index"]),) if "index" in value else path
        for key, inner in value.items():
            if key not in PASSING and key != "index":
                join(parts, where + (key,), inner)
    elif isinstance(value, list):
        for inner in value:
            join(parts, path, inner)
    elif isinstance(value, str) and path[-1] in ("text", "content", "reasoning_content", "arguments", "partial_json", "thinking"):
        parts[path] = parts.get(path, "") + value
    elif isinstance(value, str) and path[-1] in ("object", "type", "model", "role"):
        parts[path] = sorted(set(parts.get(path, [])) | {value})
    elif value is not None and value is not False:
        parts.setdefault(path, []).append(value)


def essence(answer):
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        parts = {}
        for event in events(answer.body):
            join(parts, (), event)
        return json.dumps(sorted((".".join(path), value) for path, value in parts.items() if value not in ("", [])))
    return json.dumps(strip(answer.json()), sort_keys=True)


def difference(alone, now, around=150):
    """Where two essences part."""
    at = next((i for i, (a, b) in enumerate(zip(alone, now)) if a != b), min(len(alone), len(now)))
    begin = max(0, at - around)
    return f"  alone  ...{alone[begin:at + around]}\n  now    ...{now[begin:at + around]}"
