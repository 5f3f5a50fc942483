"""Every CLI offers all tools to its model, whichever way it was told of the coordinator."""

import json
import re
import shlex
from pathlib import Path

from cell import cell, check
from clis.base import TOOLS
from model import Say

PAGE = Path(__file__).resolve().parents[3] / "docs/mcp.md"
NAMES = {"claude": "Claude Code", "codex": "Codex", "gemini": "Gemini CLI", "opencode": "opencode"}


@cell("lists all tools over HTTP")
def over_http(scene):
    offers_all(scene, scene.agent(over="http"))


@cell("lists all tools over stdio")
def over_stdio(scene):
    offers_all(scene, scene.agent(over="stdio"))


@cell("lists all tools once added as docs/mcp.md says, over HTTP")
def as_documented_over_http(scene):
    agent = scene.agent(over=None)
    words = shlex.split(documented(scene.cli)[0].replace("http://127.0.0.1:8768/mcp", scene.coordinator.mcp_url))
    agent.command(*words[1:])
    offers_all(scene, agent)


@cell("lists all tools once added as docs/mcp.md says, over stdio")
def as_documented_over_stdio(scene):
    agent = scene.agent(over=None)
    way = documented(scene.cli)[1]
    if way.startswith("{"):
        agent.cli.add_entry(json.loads(way))
    else:
        agent.command(*shlex.split(way)[1:])
    offers_all(scene, agent)


@cell("says in its own list that it is connected", clis=("claude", "gemini", "opencode"))
def own_list(scene):
    """Codex does not connect for its list."""
    for over in ("http", "stdio"):
        seen = scene.agent(name=f"ana-{over}", over=over).command("mcp", "list")
        line = next((line for line in seen.splitlines() if "coord" in line), seen)
        check("onnected" in line and "isconnected" not in line, "it does not say so", line)


def documented(cli):
    """The ways over HTTP and over stdio, in the table of docs/mcp.md."""
    row = re.search(rf"^\| {NAMES[cli]} \|(.+)\|(.+)\|$", PAGE.read_text(), re.M)
    return [re.findall(r"`([^`]+)`", column)[-1] for column in row.groups()]


def offers_all(scene, agent):
    script = scene.model.script(*agent.cli.opening(), Say("done"))
    agent.run(script)
    offered = agent.cli.offered(script)
    check(set(offered) == agent.cli.exposed_names(), "the model was offered other tools", sorted(offered))
    listed = scene.coordinator.listed_tools(agent.name)
    for tool in TOOLS:
        mine, theirs = offered[agent.cli.call(tool).tool], listed[tool]
        for part in ("properties", "required"):
            check(sorted(mine.get(part) or []) == sorted(theirs.get(part) or []), f"{part} of {tool} differ", mine)
