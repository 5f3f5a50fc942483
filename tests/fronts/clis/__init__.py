"""The CLIs, in the versions that package-lock.json pins."""

from .claude import Claude
from .codex import Codex
from .gemini import Gemini
from .opencode import Opencode

CLIS = {cli.name: cli for cli in (Claude, Codex, Gemini, Opencode)}
