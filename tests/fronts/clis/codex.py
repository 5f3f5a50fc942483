"""Codex CLI."""

from model import Call, Patch, Search

from .base import ARCHITECTURE, Cli, Http

TRIPLE = {"x64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}.get(ARCHITECTURE)

SPACE = "mcp__coord"
HOOKS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd")
PATCH = """\
*** Begin Patch
*** Update File: {file}
@@
-{old}
+{new}
*** End Patch
"""

MODEL = """\
model = "gpt-5.5"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "SCRIPTED_KEY"

[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"

[projects."{project}"]
trust_level = "{trust}"
"""

HTTP = """
[mcp_servers.coord]
url = "{url}"
bearer_token_env_var = "COORD_TOKEN"
"""

STDIO = """
[mcp_servers.coord]
command = "coord"
args = ["mcp"]
"""


class Codex(Cli):
    name = "codex"

    def command(self):
        return [self.modules / f"@openai/codex-linux-{ARCHITECTURE}/vendor/{TRIPLE}/bin/codex"]

    def own_variables(self):
        return {"SCRIPTED_KEY": "x", "CODEX_HOME": str(self.home / ".codex")}

    def configure(self):
        trust = "trusted" if self.place.trusted else "untrusted"
        text = MODEL.format(url=self.place.model_url, project=self.place.project, trust=trust)
        if self.place.of_project:
            self.write_in_project(".codex/config.toml", self.server())
        else:
            text += self.server()
        self.write(".codex/config.toml", text)
        if self.place.hooks:
            hook = {"type": "command", "command": self.hook_command(), "timeout": 5}
            waiter = {"type": "command", "command": self.hook_command("wait", "codex"), "async": True, "timeout": 86400}
            hooks = {event: [{"hooks": [hook]}] for event in HOOKS}
            hooks["Stop"].append({"hooks": [waiter]})
            self.write(".codex/hooks.json", {"hooks": hooks})

    def server(self):
        if isinstance(self.place.server, Http):
            return HTTP.format(url=self.place.server.url)
        return STDIO if self.place.server else ""

    def one_shot(self, prompt):
        if self.place.set_up:
            return ["exec", "--sandbox", "danger-full-access", prompt]
        if self.place.hooks:
            # A person would trust the hooks in the terminal.
            return ["exec", "--dangerously-bypass-hook-trust", "--sandbox", "danger-full-access", prompt]
        return ["exec", "--sandbox", "read-only", "-c", "approval_policy=never", prompt]

    def in_terminal(self, prompt):
        return ["--dangerously-bypass-hook-trust", "--sandbox", "danger-full-access", prompt]

    def setup_words(self):
        return ["--trust-hooks"]

    def shell(self, command):
        return Call("exec_command", {"cmd": command})

    def call(self, tool, **arguments):
        return Call(tool, arguments, namespace=SPACE)

    def edit(self, file, old, new):
        return [Patch("apply_patch", PATCH.format(file=file, old=old, new=new))]

    def opening(self):
        """Codex tells the model only the server's instructions until it searches."""
        return [Search("coord")]

    def offered(self, script):
        found = [tool for item in script.requests[-1]["input"] for tool in item.get("tools", [])]
        return {tool["name"]: tool["parameters"] for space in found if space["name"] == SPACE
                for tool in space["tools"]}
