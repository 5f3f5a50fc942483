"""Texts in the content of a message, whichever way it is written."""

import uuid


def text_of(content):
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(part) for part in content)
    if isinstance(content, dict):
        return content.get("text") or text_of(content.get("content"))
    return ""


def new_id(prefix):
    return prefix + uuid.uuid4().hex[:20]
