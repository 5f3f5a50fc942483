"""A session goes on when the coordinator was ended without warning, and came back."""

from cell import cell, check
from model import Say


@cell("goes on after a restart of the coordinator, over HTTP")
def over_http(scene):
    goes_on(scene, scene.agent(over="http"))


@cell("goes on after a restart of the coordinator, over stdio")
def over_stdio(scene):
    goes_on(scene, scene.agent(over="stdio"))


@cell("is told when the coordinator is away, and goes on, over HTTP")
def away_over_http(scene):
    is_told(scene, scene.agent(over="http"))


@cell("is told when the coordinator is away, and goes on, over stdio")
def away_over_stdio(scene):
    is_told(scene, scene.agent(over="stdio"))


def goes_on(scene, agent):
    call = agent.cli.call
    script = scene.model.script(
        *agent.cli.opening(),
        call("reserve", resources=["a.txt"]),
        (call("status"), scene.coordinator.crash_and_restart),
        (call("release", all=True), lambda: holds(scene, script)),
        Say("done"),
    )
    agent.run(script)
    check(scene.coordinator.leases() == {}, "the release had no effect", scene.coordinator.leases())


def holds(scene, script):
    """The reservation has survived, in the eyes of the model and of the coordinator."""
    answer = script.answer()
    check("a.txt" in str(answer["reserved"]), "the model was not shown its reservation", answer)
    check("file:a.txt" in scene.coordinator.leases(), "the lease is gone", scene.coordinator.leases())


def is_told(scene, agent):
    call = agent.cli.call
    script = scene.model.script(
        *agent.cli.opening(),
        call("reserve", resources=["a.txt"]),
        (call("status"), scene.coordinator.stop),
        (call("status"), lambda: failed(script, scene)),
        Say("done"),
    )
    agent.run(script)
    check("a.txt" in str(script.answer()["reserved"]), "the next call did not work", script.results[-1])


def failed(script, scene):
    try:
        answer = script.answer()
    except ValueError:
        answer = {}
    check("reserved" not in answer, "a call went well without a coordinator", answer)
    scene.coordinator.start()
