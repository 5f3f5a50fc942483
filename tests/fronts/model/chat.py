"""OpenAI Chat Completions, as opencode speaks it."""

import json

from .script import Say, Turn, calls_of
from .text import new_id, text_of

NAMED_EVENTS = False
LAST_LINE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}


def offers_tools(body):
    return bool(body.get("tools"))


def streams(_path, body):
    return body.get("stream", False)


def turns(body):
    return [turn(message) for message in body.get("messages", [])]


def turn(message):
    text = text_of(message.get("content"))
    if message["role"] == "tool":
        return Turn("tool", results=[text])
    return Turn(message["role"], text)


def delta(step):
    if isinstance(step, Say):
        return {"role": "assistant", "content": step.text}
    calls = [{"index": index, "id": new_id("call_"), "type": "function",
              "function": {"name": call.tool, "arguments": json.dumps(call.arguments)}}
             for index, call in enumerate(calls_of(step))]
    return {"role": "assistant", "tool_calls": calls}


def finish(step):
    return "stop" if isinstance(step, Say) else "tool_calls"


def message(step, body):
    choice = {"index": 0, "message": {"content": None, **delta(step)}, "finish_reason": finish(step)}
    return {"id": new_id("c_"), "object": "chat.completion", "created": 0, "model": body.get("model"),
            "choices": [choice], "usage": USAGE}


def events(step, body):
    shared = {"id": new_id("c_"), "object": "chat.completion.chunk", "created": 0, "model": body.get("model")}
    yield {**shared, "choices": [{"index": 0, "delta": delta(step), "finish_reason": None}]}
    yield {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": finish(step)}], "usage": USAGE}
