"""A model that says what a script tells it to, in the four wire formats that the CLIs speak."""

from .script import Call, Calls, Patch, Say, Script, Search
from .server import Model

__all__ = ["Call", "Calls", "Model", "Patch", "Say", "Script", "Search"]
