"""Several sessions of one CLI with one token are several agents."""

from cell import cell, check
from model import Say
from processes import until


@cell("is an agent of its own in each session, over stdio")
def two_sessions(scene):
    agent = scene.agent(seats=True, over="stdio")
    both_are_there = scene.barrier(2)
    call = agent.cli.call
    first = scene.model.script(
        *agent.cli.opening(),
        call("reserve", resources=["a.txt"], note="the first session's"),
        (call("status"), both_are_there.wait),
        (Say("done"), both_are_there.wait))
    second = scene.model.script(
        *agent.cli.opening(),
        call("status"),
        (call("reserve", resources=["a.txt"]), both_are_there.wait),
        (Say("done"), lambda: (two_are_present(scene), both_are_there.wait())))
    sessions = [agent.start(first), agent.start(second)]
    scene.end(*sessions)
    check("the first session's" in second.results[-1], "the second session was not told of the first",
          second.results[-1])
    you = {first.answer()["you"], second.answer(-2)["you"]}
    check(len(you) == 2 and all(name.startswith(f"ana/{scene.cli}-") for name in you), "the seats are others", you)


@cell("frees what it holds when its session ends, over stdio")
def end_of_session(scene):
    """At once: the CLI ends `coord mcp` with the session, and `coord mcp` tells the coordinator. Without that,
    the files would be held until the session can no longer be resumed."""
    agent = scene.agent(seats=True, over="stdio")
    script = scene.model.script(
        *agent.cli.opening(),
        agent.cli.call("reserve", resources=["a.txt"]),
        (Say("done"), lambda: check("file:a.txt" in scene.coordinator.leases(), "the file is not held")))
    agent.run(script)
    until("the end of the session to free what it holds", lambda: scene.coordinator.leases() == {},
          lambda: seats(scene), seconds=5)
    check(not present(scene), "the agent is still there", seats(scene))


def seats(scene):
    return {name: agent for name, agent in scene.coordinator.agents().items() if name.startswith("ana/")}


def present(scene):
    return [name for name, agent in seats(scene).items() if agent["presence"] != "gone"]


def two_are_present(scene):
    check(len(present(scene)) == 2, "two sessions are not two seats", scene.coordinator.agents())
