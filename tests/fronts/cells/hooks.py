"""Hooks: agents cannot step on each other, and hear from each other while they work."""

from cell import cell, check
from model import Say
from processes import until

OLD, NEW = "hello world", "HELLO WORLD"


@cell("does not edit a file that another agent holds", needs="hook")
def denies(scene):
    hold(scene, "the parser")
    agent = scene.agent(hooks=True, seats=True)
    script = scene.model.script(*agent.cli.edit("a.txt", OLD, NEW), Say("done"))
    agent.run(script)
    check(text(scene) == OLD, "the file was edited", text(scene))
    check("bob" in script.results[-1] and "the parser" in script.results[-1], "the model was not told by whom",
          script.results[-1])


@cell("holds the file that it edits until its session ends", needs="hook")
def extends(scene):
    agent = scene.agent(hooks=True, seats=True)
    script = scene.model.script(
        *agent.cli.edit("a.txt", OLD, NEW),
        *after(lambda: held_by_seat(scene), agent.cli.edit("a.txt", NEW, "again")),
        (Say("done"), lambda: held_by_seat(scene)),
    )
    agent.run(script)
    check(text(scene) == "again", "the file was not edited twice", text(scene))
    until("the session to free its files", lambda: scene.coordinator.leases() == {})


@cell("is warned of an agent in another worktree, and edits", needs="hook")
def warns(scene):
    hold(scene, "elsewhere", "--tree", "another-tree")
    agent = scene.agent(hooks=True, seats=True)
    script = scene.model.script(*agent.cli.edit("a.txt", OLD, NEW), Say("done"))
    agent.run(script)
    check(text(scene) == NEW, "the file was not edited", text(scene))
    check(script.saw("elsewhere"), "the model was not warned", script.results)


@cell("edits while the coordinator is away", needs="hook")
def away(scene):
    agent = scene.agent(over=None, hooks=True, seats=True)
    scene.coordinator.stop()
    script = scene.model.script(*agent.cli.edit("a.txt", OLD, NEW), Say("done"))
    agent.run(script)
    check(text(scene) == NEW, "the file was not edited", text(scene))


@cell("reads mail between tools", needs="hook")
def between_tools(scene):
    agent = scene.agent(hooks=True, seats=True)
    script = scene.model.script(
        *after(lambda: send(scene, "look at b.txt", "normal"), agent.cli.edit("a.txt", OLD, NEW)),
        Say("done"),
    )
    agent.run(script)
    check(script.saw("look at b.txt"), "the model was not shown the mail", script.results)


# `opencode run` may end with its turn before the prompt of a plugin is taken up.
@cell("reads important mail at the end of its turn, and goes on", clis=("claude", "codex", "gemini"), needs="hook")
def at_turn_end(scene):
    agent = scene.agent(hooks=True, seats=True)
    script = scene.model.script((Say("first"), lambda: send(scene, "do not push", "high")), Say("second"))
    agent.run(script)
    check(script.saw("do not push"), "the model was not shown the mail")
    check(mailboxes(scene) == 0, "the mail was not acknowledged", mailboxes(scene))


@cell("is refused edits while the coordinator is away, where the repository is strict", needs="hook")
def strict(scene):
    agent = scene.agent(over=None, hooks=True, seats=True)
    scene.git("config", "coord.strict", "true")
    scene.coordinator.stop()
    script = scene.model.script(*agent.cli.edit("a.txt", OLD, NEW), Say("done"))
    agent.run(script)
    check(text(scene) == OLD, "the file was edited", text(scene))
    check("this clone is strict" in script.results[-1], "the model was not told why", script.results[-1])


@cell("is woken by mail when it is idle", clis=("claude", "codex", "opencode"), needs="hook")
def wakes(scene):
    agent = scene.agent(hooks=True, seats=True, wakes=True)
    script = scene.model.script(Say("first"), Say("woken"))
    agent.sit_down(script)
    until("the first turn", lambda: script.requests, seconds=120)
    send(scene, "the build is broken", "normal")
    until("the second turn", lambda: script.over, seconds=60)
    check(script.saw("the build is broken"), "the model was not shown the mail")
    until("the mail to be acknowledged", lambda: mailboxes(scene) == 0, lambda: mailboxes(scene))


def hold(scene, note, *flags):
    token = scene.coordinator.token("bob")
    scene.coordinator.run("lease", "acquire", "file:a.txt", "--ttl", "10m", "--note", note, *flags, token=token)


def send(scene, body, importance):
    """From bob to the only seat that is there."""
    seat = next(name for name, agent in scene.coordinator.agents().items()
                if name.startswith("ana/") and agent["presence"] != "gone")
    scene.coordinator.call("message.send", token=scene.coordinator.token("bob"), to={"agent": seat}, body=body,
                           importance=importance)


def mailboxes(scene):
    return sum(agent["mailbox"] for name, agent in scene.coordinator.agents().items() if name.startswith("ana"))


def after(first, steps):
    """The steps, the first of them after a check."""
    return [(steps[0], first), *steps[1:]]


def held_by_seat(scene):
    leases = scene.coordinator.leases()
    check(set(leases) == {"file:a.txt"}, "other files are held", leases)
    check(leases["file:a.txt"]["agent"].startswith(f"ana/{scene.cli}-"), "another holds it", leases)


def text(scene):
    return (scene.project / "a.txt").read_text().strip()
