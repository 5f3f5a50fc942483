"""What a folder that the user does not trust may bring along."""

from cell import cell, check
from model import Say


def offered(scene, agent):
    script = scene.model.script(*agent.cli.opening(), Say("done"))
    agent.run(script)
    return set(agent.cli.offered(script))


@cell("takes the tools of a repository that is trusted")
def trusted(scene):
    agent = scene.agent(of_project=True)
    check(offered(scene, agent) == agent.cli.exposed_names(), "the tools were not offered")


@cell("does not take the tools of a repository that is not trusted", clis=("codex",))
def untrusted(scene):
    agent = scene.agent(of_project=True, trusted=False)
    check(offered(scene, agent) == set(), "the tools were offered")


@cell("asks nobody about the tools of a repository, in a session that runs one prompt", clis=("claude", "opencode"))
def unasked(scene):
    """What the coordinator's documentation warns of: a repository brings its own server along."""
    agent = scene.agent(of_project=True, trusted=False)
    check(offered(scene, agent) == agent.cli.exposed_names(), "the tools were not offered")


@cell("has the user's tools in a repository that is not trusted", clis=("claude", "codex", "opencode"))
def own_tools(scene):
    agent = scene.agent(trusted=False)
    check(offered(scene, agent) == agent.cli.exposed_names(), "the tools were not offered")


@cell("does not run where it is not trusted, and connects to nothing", clis=("gemini",))
def refuses(scene):
    agent = scene.agent(trusted=False)
    listed = agent.command("mcp", "list")
    check("isabled" in listed or "isconnected" in listed, "the user's server is in use", listed)
    session = agent.start(scene.model.script(Say("done")))
    code = session.program.wait(agent.cli.limit)
    said = session.program.output()
    check(code != 0 and "trust" in said, f"it ended with {code}", said)
    check(not session.script.requests, "the model was asked")
