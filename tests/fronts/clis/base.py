"""What the CLIs have in common: where they are, their surroundings, and how they reach the coordinator."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
TOOLS = ("status", "list_tasks", "claim_task", "submit_task", "report_progress", "finish_task", "reserve", "release",
         "send_message", "read_messages", "context", "wait")


@dataclass(frozen=True)
class Http:
    """The coordinator's tools at its port; the token comes from the environment."""
    url: str


@dataclass(frozen=True)
class Stdio:
    """The coordinator's tools through `coord mcp`, which finds address and token by itself."""


@dataclass(frozen=True)
class Surroundings:
    """Where an agent works: folders of its own, a repository, a model, the coordinator's tools."""
    home: Path
    project: Path
    programs: Path
    model_url: str
    server: Http | Stdio | None
    secret: str
    # Whether the user trusts the repository, and what it brings along.
    trusted: bool = True
    # Whether the CLI runs the coordinator's hooks.
    hooks: bool = False
    # Whether mail wakes an idle session.
    wakes: bool = False
    # Whether the coordinator's tools are configured by the repository, not by the user.
    of_project: bool = False
    # Whether `coord setup` is to configure hooks and tools, so that nothing here does.
    set_up: bool = False


class Cli:
    """One CLI of one agent."""
    name = ""
    # Seconds within which a session with a dozen calls ends on a loaded machine.
    limit = 300

    def __init__(self, modules, surroundings):
        self.modules = modules
        self.place = surroundings
        self.home = surroundings.home

    def command(self):
        """The words that start the CLI. The packages' own launchers need steps after the installation."""
        raise NotImplementedError

    def configure(self):
        """Writes what a person has configured: the model, consents, the coordinator's tools."""
        raise NotImplementedError

    def one_shot(self, prompt):
        """The words of a session that runs one prompt, and asks nobody."""
        raise NotImplementedError

    def in_terminal(self, prompt):
        """The words of a session in a terminal that begins with a prompt."""
        raise NotImplementedError

    def setup_words(self):
        """What `coord setup` is told besides the name of the CLI."""
        return []

    def call(self, tool, **arguments):
        """The step in which the model calls a tool of the coordinator."""
        raise NotImplementedError

    def add_entry(self, entry):
        """Adds an MCP server by hand, where the CLI has no command for its kind."""
        raise NotImplementedError

    def opening(self):
        """The steps in which the model makes the coordinator's tools known to itself, if it has to."""
        return []

    def offered(self, script):
        """The coordinator's tools that the CLI offered to the model, by the name that the model calls."""
        raise NotImplementedError

    def edit(self, file, old, new):
        """The steps in which the model changes a text in a file of the repository."""
        raise NotImplementedError

    def shell(self, command):
        """The step in which the model runs a command in its shell."""
        raise NotImplementedError

    def hook_command(self, *words):
        """Ends well without `coord`: to some CLIs, any other end of a hook means no."""
        program = self.place.programs / "coord"
        return f"[ -x {program} ] || exit 0; exec {program} hook {' '.join(words or [self.name])}"

    def exposed_names(self):
        """The names that the model must be offered."""
        return {self.call(tool).tool for tool in TOOLS}

    def own_variables(self):
        return {}

    def variables(self):
        """The whole environment: nothing of the machine's reaches the CLI."""
        home = self.home
        return {
            "HOME": str(home), "PATH": f"{self.place.programs}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
            "TERM": "xterm-256color", "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".local/share"), "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_STATE_HOME": str(home / ".local/state"), "USER": "ana",
            **({"COORD_TOKEN": self.place.secret} if self.place.secret else {}), **self.own_variables(),
        }

    def write(self, path, content):
        """Writes a file below the home folder."""
        write(self.home / path, content)

    def change(self, path, table, server):
        """Adds the server `coord` to a file below the home folder."""
        settings = json.loads((self.home / path).read_text())
        settings.setdefault(table, {})["coord"] = server
        self.write(path, settings)

    def write_in_project(self, path, content):
        write(self.place.project / path, content)


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
