"""OpenAI Responses, as Codex speaks it."""

import json

from .script import Patch, Say, Search, Turn, calls_of
from .text import new_id, text_of

NAMED_EVENTS = True
LAST_LINE = b""


def offers_tools(body):
    return bool(body.get("input"))


def streams(_path, body):
    return body.get("stream", False)


def turns(body):
    given = body.get("input", [])
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    return [found for item in items if (found := turn(item))]


def turn(item):
    kind = item.get("type", "message")
    if kind == "message":
        return Turn(item.get("role"), text_of(item.get("content")))
    if kind.endswith("_call"):
        return Turn("assistant")
    if kind.endswith("_output"):
        return Turn("tool", results=[text_of(item.get("output"))])
    return None


def item_of(call):
    call_id = new_id("call_")
    if isinstance(call, Search):
        return {"type": "tool_search_call", "id": f"ts_{call_id}", "call_id": call_id, "execution": "client",
                "status": "completed", "arguments": {"query": call.query, "limit": 20}}
    shared = {"call_id": call_id, "name": call.tool, "status": "completed"}
    if isinstance(call, Patch):
        return {"type": "custom_tool_call", "id": f"ctc_{call_id}", "input": call.text, **shared}
    item = {"type": "function_call", "id": f"fc_{call_id}", "arguments": json.dumps(call.arguments), **shared}
    return {**item, "namespace": call.namespace} if call.namespace else item


def items(step):
    if isinstance(step, Say):
        content = [{"type": "output_text", "text": step.text, "annotations": []}]
        return [{"type": "message", "id": new_id("msg_"), "role": "assistant", "status": "completed",
                 "content": content}]
    return [item_of(call) for call in calls_of(step)]


def message(step, body):
    usage = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 10,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20}
    return {"id": new_id("resp_"), "object": "response", "created_at": 0, "model": body.get("model", "scripted"),
            "status": "completed", "output": items(step), "usage": usage}


def events(step, body):
    whole = message(step, body)
    yield {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    for index, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": whole}
