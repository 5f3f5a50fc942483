"""The guard of commits: what a model writes by its shell is seen when it commits."""

from cell import cell, check
from model import Say

COMMIT = "echo mine >>a.txt && git commit -qam {}; echo ended with $?"


@cell("cannot commit by its shell what another agent holds, unless the repository only warns",
      clis=("claude", "codex", "opencode"), needs="guard")
def guarded(scene):
    agent = guarded_agent(scene)
    script = scene.model.script(
        agent.cli.shell(COMMIT.format("one")),
        (agent.cli.shell(COMMIT.format("two")), lambda: refused(scene, script)),
        (Say("done"), lambda: warned(scene, script)),
    )
    agent.run(script)


@cell("commits past the guard by its shell, which switches hooks of git off", clis=("gemini",), needs="guard")
def unguarded(scene):
    """What docs/hooks.md warns of: `core.hooksPath` is empty in this shell."""
    agent = guarded_agent(scene)
    script = scene.model.script(agent.cli.shell(COMMIT.format("one")), Say("done"))
    agent.run(script)
    check("ended with 0" in script.results[-1], "the commit was refused", script.results[-1])
    check(subjects(scene) == ["one", "first"], "there are other commits", subjects(scene))


def guarded_agent(scene):
    agent = scene.agent(over=None, hooks=True, seats=True)
    scene.git("config", "coord.project", "default")
    code, said = agent.coord("guard", "install")
    check(code == 0, "the guard was not installed", said)
    scene.coordinator.run("lease", "acquire", "file:a.txt", "--ttl", "10m", "--note", "the parser",
                          token=scene.coordinator.token("bob"))
    return agent


def refused(scene, script):
    said = script.results[-1]
    check("ended with 1" in said and "the commit is refused" in said, "the commit was not refused", said)
    enough = all(word in said for word in ("held by bob", "the parser", "--no-verify"))
    check(enough, "the model was not told enough", said)
    check(subjects(scene) == ["first"], "there is another commit", subjects(scene))
    scene.git("config", "coord.sameTree", "warn")


def warned(scene, script):
    said = script.results[-1]
    check("ended with 0" in said and "held by bob" in said, "the model was not warned", said)
    check(subjects(scene) == ["two", "first"], "there are other commits", subjects(scene))


def subjects(scene):
    return scene.git("log", "--format=%s").splitlines()
