"""A real `coord serve` on loopback, and what the operator sees of it."""

import json
import subprocess
import urllib.error
import urllib.request

from processes import Failure, Program, free_port, until

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Coordinator:
    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        self.state = folder / "state"
        self.websocket_port = free_port()
        self.metrics_port = free_port()
        self.program = None

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.websocket_port}/ws"

    @property
    def mcp_url(self):
        return f"http://127.0.0.1:{self.websocket_port}/mcp"

    def start(self):
        variables = {
            "HOME": str(self.folder), "PATH": SYSTEM_PATH, "COORD_PROFILE": "testing",
            "COORD_STATE_DIR": str(self.state), "WEBSOCKET_PORT": str(self.websocket_port),
            "METRICS_PORT": str(self.metrics_port),
        }
        self.program = Program([self.binary, "serve"], self.folder / "coordinator.log", variables, self.folder)
        until("the coordinator to be ready", self.ready)

    def ready(self):
        if not self.program.runs():
            raise Failure(f"the coordinator ended:\n{self.program.output()}")
        try:
            url = f"http://127.0.0.1:{self.websocket_port}/readyz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except urllib.error.URLError:
            return False

    def stop(self):
        if self.program:
            self.program.stop()

    def crash_and_restart(self):
        self.stop()
        self.start()

    def run(self, *words, token=None):
        """Runs `coord` as the operator, or with another token; returns what it printed."""
        variables = {
            "HOME": str(self.folder), "PATH": SYSTEM_PATH, "COORD_URL": self.url,
            "COORD_TOKEN_FILE": str(token or self.state / "operator.token"),
        }
        done = subprocess.run([self.binary, *words], env=variables, cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise Failure(f"coord {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def call(self, operation, token=None, **parameters):
        """The answer of an operation."""
        return json.loads(self.run("call", operation, json.dumps(parameters), "--json", token=token))

    def token(self, agent, *flags):
        """Creates a token, and returns the file that holds it."""
        file = self.folder / f"{agent}.token"
        if not file.exists():
            self.run("token", "create", agent, "--out", str(file), *flags)
        return file

    # --- What it knows ---

    def agents(self):
        """Presence by agent; seats are agents of their own."""
        return {agent["name"]: agent for agent in self.call("agent.list")["agents"]}

    def leases(self):
        """The lease of each leased resource."""
        leases = self.call("lease.list")["leases"]
        return {resource: lease for lease in leases for resource in lease["resources"]}

    def tasks(self):
        return self.call("task.list")["tasks"]

    def task(self, number):
        return self.call("task.get", task=number)

    def unread(self, agent):
        """The texts in the mailbox of an agent without a seat."""
        messages = self.call("message.inbox", token=self.token(agent))["messages"]
        return [message["body"] for message in messages]

    def listed_tools(self, agent):
        """The schemas of the tools that it lists to an MCP client."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).encode()
        secret = self.token(agent).read_text().strip()
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}
        request = urllib.request.Request(self.mcp_url, body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            tools = json.load(answer)["result"]["tools"]
        return {tool["name"]: tool["inputSchema"] for tool in tools}
