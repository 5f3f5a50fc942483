"""Anthropic Messages, as Claude Code speaks it."""

import json

from .script import Say, Turn, calls_of
from .text import new_id, text_of

NAMED_EVENTS = True
LAST_LINE = b""


def offers_tools(body):
    return bool(body.get("tools"))


def streams(_path, body):
    return body.get("stream", False)


def turns(body):
    return [turn(message) for message in body.get("messages", [])]


def turn(message):
    content = message["content"]
    parts = content if isinstance(content, list) else []
    results = [text_of(part.get("content")) for part in parts if part.get("type") == "tool_result"]
    said = [part for part in parts if part.get("type") == "text"] if parts else content
    return Turn(message["role"], text_of(said), results)


def blocks(step):
    if isinstance(step, Say):
        return [{"type": "text", "text": step.text}]
    return [{"type": "tool_use", "id": new_id("toolu_"), "name": call.tool, "input": call.arguments}
            for call in calls_of(step)]


def message(step, body):
    return {
        "id": new_id("msg_"), "type": "message", "role": "assistant", "model": body.get("model", "scripted"),
        "content": blocks(step), "stop_reason": "end_turn" if isinstance(step, Say) else "tool_use",
        "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 10},
    }


def events(step, body):
    whole = message(step, body)
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty = {**block, "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 10}}
    yield {"type": "message_stop"}
