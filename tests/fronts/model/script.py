"""What the model says, step by step, and what it was shown.

A prompt names its script. The number of turns that the model has taken since that prompt is the number of the
step, so the model keeps no state of a conversation: what the CLI sends decides.
"""

import itertools
import json
import re
from dataclasses import dataclass, field

MARK = re.compile(r"coord-script-(\d+)")


@dataclass(frozen=True)
class Say:
    """Ends the turn."""
    text: str


@dataclass(frozen=True)
class Call:
    """Calls a tool. Codex names the server of an MCP tool as its namespace."""
    tool: str
    arguments: dict = field(default_factory=dict)
    namespace: str | None = None


@dataclass(frozen=True)
class Patch:
    """Calls a tool whose argument is plain text, as Codex's apply_patch."""
    tool: str
    text: str


@dataclass(frozen=True)
class Search:
    """Searches for tools that were not shown, as Codex lets its model do."""
    query: str


@dataclass(frozen=True)
class Calls:
    """Calls several tools in one turn."""
    calls: tuple


@dataclass
class Turn:
    """Part of a conversation, in no format in particular."""
    role: str
    text: str = ""
    results: list = field(default_factory=list)


def calls_of(step):
    if isinstance(step, Say):
        return ()
    return step.calls if isinstance(step, Calls) else (step,)


class Script:
    """Steps that are played one after the other. A step may stand in a pair with a function that is called
    first: the CLI waits meanwhile, so the function may look at the coordinator, or restart it. A step that depends on
    what happened is a function that returns it."""

    numbers = itertools.count(1)

    def __init__(self, *steps, on_fault=()):
        self.on_fault = on_fault
        self.steps = [step if isinstance(step, tuple) else (step, None) for step in steps]
        self.number = next(self.numbers)
        self.requests = []
        self.results = []
        self.fault = None
        self.over = False

    @property
    def prompt(self):
        return f"coord-script-{self.number}"

    def next(self, turns, body):
        """The step that follows `turns`, which are those since the prompt."""
        self.requests.append(body)
        self.results = [result for turn in turns for result in turn.results]
        roles = [role for role, _ in itertools.groupby(turn.role for turn in turns)]
        position = roles.count("assistant")
        if position >= len(self.steps):
            return Say("the script is over")
        step, first = self.steps[position]
        if first is not None and self.fault is None:
            try:
                first()
            except Exception as fault:  # whatever it is, the cell fails with it
                self.fault = fault
                for others in self.on_fault:
                    others()
        self.over = position + 1 == len(self.steps)
        if self.fault:
            return Say("a check failed")
        return step() if callable(step) else step

    def answer(self, index=-1):
        """A result that is JSON. Gemini CLI and Codex put words around it."""
        text = self.results[index]
        begin = text.find("{")
        if begin < 0:
            raise ValueError(f"no JSON in the result: {text}")
        return json.JSONDecoder().raw_decode(text, begin)[0]

    def saw(self, text):
        """Whether the model was shown this text."""
        quoted = json.dumps(text)[1:-1]
        return any(quoted in json.dumps(body) for body in self.requests)


def since_prompt(turns):
    """The number of the script, and the turns since its prompt."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].role == "user" and (found := MARK.findall(turns[index].text)):
            return int(found[-1]), turns[index + 1:]
    return None, []
