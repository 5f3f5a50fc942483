"""Gemini generateContent, as Gemini CLI speaks it."""

import json

from .script import Say, Turn, calls_of

NAMED_EVENTS = False
LAST_LINE = b""


def offers_tools(body):
    """A request for an answer of a given form is one of the CLI's own, such as which model to take."""
    return bool(body.get("tools")) and not wanted_form(body)


def wanted_form(body):
    wishes = body.get("generationConfig") or {}
    return wishes.get("responseSchema") or wishes.get("responseJsonSchema")


def streams(path, _body):
    return path.endswith(":streamGenerateContent")


def turns(body):
    return [turn(content) for content in body.get("contents", [])]


def turn(content):
    parts = content.get("parts", [])
    results = [result_text(part["functionResponse"]) for part in parts if "functionResponse" in part]
    role = {"model": "assistant"}.get(content.get("role"), "user")
    return Turn(role, "\n".join(part["text"] for part in parts if "text" in part), results)


def result_text(response):
    answer = response.get("response", {})
    return answer["output"] if isinstance(answer.get("output"), str) else json.dumps(answer)


def parts_of(step, body):
    if form := wanted_form(body):
        return [{"text": json.dumps(value_of(form))}]
    if isinstance(step, Say):
        return [{"text": step.text}]
    return [{"functionCall": {"name": call.tool, "args": call.arguments}, "thoughtSignature": "c2NyaXB0"}
            for call in calls_of(step)]


def value_of(form):
    """The simplest value of a form."""
    if form.get("enum"):
        return form["enum"][0]
    kind = str(form.get("type", "string")).lower()
    if kind == "object":
        return {name: value_of(inner) for name, inner in (form.get("properties") or {}).items()}
    return {"array": [], "boolean": False, "integer": 1, "number": 1}.get(kind, "a text")


def message(step, body):
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}
    content = {"role": "model", "parts": parts_of(step, body)}
    return {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}], "usageMetadata": usage,
            "modelVersion": "scripted"}


def events(step, body):
    yield message(step, body)
