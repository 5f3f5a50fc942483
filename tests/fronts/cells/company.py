"""Three different CLIs in one repository: they share tasks, collide once, tell each other, and one is killed."""

from cell import cell, check
from model import Say
from processes import until

TASKS = 6


@cell("three CLIs share six tasks in one repository, and one is killed half-way", clis=None, needs="hook")
def company(scene):
    Company(scene).work()


class Company:
    """Claude Code takes the first tasks and a.txt. Codex runs into a.txt, writes to Claude Code, and is killed with
    a task. Gemini CLI does what is left, and waits for the task of Codex."""

    def __init__(self, scene):
        self.scene = scene
        self.coordinator = scene.coordinator
        self.claude, self.codex, self.gemini = (
            scene.agent(name, cli=cli, over="stdio", hooks=True, seats=True)
            for name, cli in (("claire", "claude"), ("cody", "codex"), ("gemma", "gemini")))
        self.claire_holds = scene.barrier(2)
        self.cody_wrote = scene.barrier(2)
        self.cody = None

    def work(self):
        for number in range(1, TASKS + 1):
            self.coordinator.call("task.submit", title=f"task {number}")
        claire = self.claude.start(self.script_of_claire())
        self.cody = self.codex.start(self.script_of_cody())
        self.scene.end(claire)
        self.cody.killed()
        gemma = self.gemini.start(self.script_of_gemma())
        self.scene.end(gemma)
        tasks = self.coordinator.call("task.list", states=["done"])["tasks"]
        check(len(tasks) == TASKS, "not all tasks are done", tasks)
        text = (self.scene.project / "a.txt").read_text()
        check(text == "HELLO WORLD\n", "the file is not as Claude Code left it", text)
        until("all files to be free", lambda: self.coordinator.leases() == {}, self.coordinator.leases, seconds=60)

    def done(self, agent, number):
        call = agent.cli.call
        return [call("claim_task", task=number), call("finish_task", task=number, outcome="done", text="it works")]

    def script_of_claire(self):
        cli = self.claude.cli
        read, edit = cli.edit("a.txt", "hello world", "HELLO WORLD")
        script = self.scene.model.script(
            *cli.opening(), *self.done(self.claude, 1), cli.call("claim_task", task=2), read, edit,
            (cli.call("wait", seconds=40), self.claire_holds.wait),
            (cli.call("read_messages", acknowledge=True), self.cody_wrote.wait),
            (cli.call("finish_task", task=2, outcome="done", text="a.txt shouts"), lambda: told(script)),
            Say("done"))
        return script

    def script_of_cody(self):
        cli = self.codex.cli
        collide, = cli.edit("a.txt", "hello world", "mine")
        script = self.scene.model.script(
            *cli.opening(), cli.call("claim_task", task=3),
            (collide, self.claire_holds.wait),
            (lambda: cli.call("send_message", to=self.holder(), text="tell me when a.txt is free"),
             lambda: refused(script)),
            (cli.call("status"), self.cody_wrote.wait),
            (Say("killed before this"), lambda: self.cody.program.stop()))
        return script

    def holder(self):
        return self.coordinator.leases()["file:a.txt"]["agent"]

    def script_of_gemma(self):
        cli = self.gemini.cli
        rest = [step for number in (4, 5, 6) for step in self.done(self.gemini, number)]
        return self.scene.model.script(*rest, cli.call("wait", work=True, seconds=50), *self.done(self.gemini, 3),
                                       Say("done"))


def told(script):
    check(script.saw("tell me when a.txt is free"), "Claude Code was not shown the message", script.results)


def refused(script):
    check("claire" in script.results[-1], "Codex was not told who holds the file", script.results[-1])
