"""`coord setup` as a user runs it: then the CLI has hooks and tools, and `coord doctor` finds every link good."""

import json

from cell import cell, check
from model import Say

PROJECT = "project"


@cell("works after coord setup, and coord doctor says so", needs="setup")
def as_a_user(scene):
    agent = scene.newcomer()
    coordinator = scene.coordinator
    code, said = agent.coord("setup", scene.cli, "git", *agent.cli.setup_words(), COORD_URL=coordinator.url,
                             COORD_STATE_DIR=str(coordinator.state))
    check(code == 0 and "created a token" in said, f"setup ended with {code}", said)
    bob = coordinator.token("bob")
    # Setup made a project for the repository; bob works there too.
    coordinator.run("--project", PROJECT, "lease", "acquire", "file:a.txt", "--ttl", "10m", "--note", "the parser",
                    token=bob)
    script = scene.model.script(*agent.cli.opening(), agent.cli.call("status"),
                                *held_file(agent, lambda: knows_itself(scene, script)), Say("done"))
    agent.run(script)
    text = (scene.project / "a.txt").read_text()
    check(text == "hello world\n", "the file was edited", text)
    check("bob" in script.results[-1], "the model was not told by whom", script.results[-1])
    seats = coordinator.run("--project", PROJECT, "agent", "list")
    check(f"ana/{scene.cli}-" in seats, "the coordinator has not seen the session", seats)
    code, said = agent.coord("--json", "doctor", scene.cli, "git")
    bad = [link for link in json.loads(said)["checks"] if link["state"] != "good"]
    check(code == 0 and not bad, f"doctor ended with {code}", bad)


def held_file(agent, first):
    steps = agent.cli.edit("a.txt", "hello world", "HELLO WORLD")
    return [(steps[0], first), *steps[1:]]


def knows_itself(scene, script):
    you = script.answer()["you"]
    check(you.startswith(f"ana/{scene.cli}-"), "the tools are another's", you)
