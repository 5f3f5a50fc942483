"""A working day: the model calls each tool once, and the coordinator shows what that did."""

from cell import cell, check
from clis.base import TOOLS
from model import Say

# A field that the answer of each tool has.
FIELDS = {
    "status": "you", "list_tasks": "tasks", "claim_task": "claimed", "submit_task": "task",
    "report_progress": "next", "finish_task": "outcome", "reserve": "taken", "release": "released",
    "send_message": "message", "read_messages": "messages", "context": "facts", "wait": "happened",
}


@cell("calls each tool over HTTP")
def over_http(scene):
    Day(scene, scene.agent(over="http")).pass_by()


@cell("calls each tool over stdio")
def over_stdio(scene):
    Day(scene, scene.agent(over="stdio")).pass_by()


class Day:
    """Each check runs when the model has the result of the call before it."""

    def __init__(self, scene, agent):
        self.scene = scene
        self.agent = agent
        self.coordinator = scene.coordinator
        self.bob = scene.coordinator.token("bob")
        self.script = None
        self.called = []

    def pass_by(self):
        call = self.call
        self.script = self.scene.model.script(
            *self.agent.cli.opening(),
            call("status"),
            call("submit_task", title="write the parser", details="all of it"),
            (call("list_tasks"), self.submitted),
            (call("claim_task"), self.task_is_listed),
            (call("report_progress", task=1, percent=40, note="the lexer is done"), self.claimed),
            (call("reserve", resources=["a.txt", "src/"], note="the parser"), self.progressed),
            (call("send_message", to="bob", text="a.txt is mine"), self.reserved),
            (call("wait", seconds=40), self.sent_and_answered),
            (call("read_messages", acknowledge=True), self.waited),
            (call("context", key="build", value="make test"), self.read),
            (call("finish_task", task=1, outcome="done", text="it parses"), self.shared),
            (call("release", all=True), self.finished),
            (Say("the day is over"), self.released),
        )
        session = self.agent.run(self.script)
        check(set(self.called) == set(TOOLS), "not every tool was called", self.called)
        check("the day is over" in session.program.output(), "the CLI does not print the model's last words")
        answers = self.script.results[-len(self.called):]
        for index, tool in enumerate(self.called, -len(answers)):
            check(FIELDS[tool] in self.script.answer(index), f"{tool} answered", self.script.results[index])

    def call(self, tool, **arguments):
        self.called.append(tool)
        return self.agent.cli.call(tool, **arguments)

    def submitted(self):
        titles = [task["title"] for task in self.coordinator.tasks()]
        check(titles == ["write the parser"], "the coordinator has other tasks", titles)

    def task_is_listed(self):
        listed = self.script.answer()["tasks"]
        check([task["task"] for task in listed] == [1], "other tasks were listed", listed)

    def claimed(self):
        task = self.coordinator.task(1)
        check(task["state"] == "claimed" and self.agent.name in str(task), "the task is not claimed", task)

    def progressed(self):
        task = self.coordinator.task(1)
        check("the lexer is done" in str(task), "the task has no progress", task)

    def reserved(self):
        leases = self.coordinator.leases()
        check(set(leases) == {"file:a.txt", "file:src/"}, "other resources are leased", leases)

    def sent_and_answered(self):
        unread = self.coordinator.unread("bob")
        check(unread == ["a.txt is mine"], "bob has other mail", unread)
        self.coordinator.call("message.send", token=self.bob, to={"agent": self.agent.name}, body="thank you")

    def waited(self):
        happened = self.script.answer()["happened"]
        check(happened and "read_messages" in happened[0], "the wait did not tell of the message", happened)

    def read(self):
        words = self.script.answer()["messages"][0]["words"]
        check(words == "thank you", "other words were read", words)
        mailbox = self.coordinator.agents()[self.agent.name]["mailbox"]
        check(mailbox == 0, "the message was not acknowledged", mailbox)

    def shared(self):
        entries = self.coordinator.call("context.list")["entries"]
        check([entry["key"] for entry in entries] == ["build"], "other facts are shared", entries)

    def finished(self):
        task = self.coordinator.task(1)
        check(task["state"] == "done" and "it parses" in str(task), "the task is not done", task)

    def released(self):
        check(self.coordinator.leases() == {}, "something is still leased", self.coordinator.leases())
