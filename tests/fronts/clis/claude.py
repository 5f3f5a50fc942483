"""Claude Code."""

from model import Call

from .base import ARCHITECTURE, Cli, Http

KEY = "sk-ant-scripted"
HOOKS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd")


class Claude(Cli):
    name = "claude"

    def command(self):
        return [self.modules / f"@anthropic-ai/claude-code-linux-{ARCHITECTURE}/claude"]

    def own_variables(self):
        return {
            "ANTHROPIC_BASE_URL": self.place.model_url, "ANTHROPIC_API_KEY": KEY, "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    def configure(self):
        # A session that asks nobody refuses tools that are not allowed by name.
        allowed = ["Bash"] if self.place.set_up else ["Bash", "mcp__coord"]
        settings = {"permissions": {"defaultMode": "acceptEdits", "allow": allowed}}
        if self.place.hooks:
            hook = {"type": "command", "command": self.hook_command(), "timeout": 5}
            settings["hooks"] = {event: [{"hooks": [hook]}] for event in HOOKS}
        if self.place.wakes:
            waiter = {"type": "command", "command": self.hook_command("wait", "claude"), "asyncRewake": True,
                      "timeout": 86400}
            settings["hooks"]["Stop"].append({"hooks": [waiter]})
        project = {"hasTrustDialogAccepted": self.place.trusted, "hasCompletedProjectOnboarding": True}
        state = {
            "hasCompletedOnboarding": True, "theme": "dark", "projects": {str(self.place.project): project},
            "customApiKeyResponses": {"approved": [KEY], "rejected": []},
        }
        servers = {"mcpServers": {"coord": self.server()}} if self.place.server else {}
        if self.place.of_project:
            self.write_in_project(".mcp.json", servers)
            settings["enabledMcpjsonServers"] = ["coord"] if self.place.trusted else []
        else:
            state |= servers
        self.write(".claude/settings.json", settings)
        self.write(".claude.json", state)

    def server(self):
        if isinstance(self.place.server, Http):
            return {"type": "http", "url": self.place.server.url,
                    "headers": {"Authorization": "Bearer ${COORD_TOKEN}"}}
        return {"type": "stdio", "command": "coord", "args": ["mcp"], "env": {}}

    def one_shot(self, prompt):
        return ["-p", prompt]

    def in_terminal(self, prompt):
        return [prompt]

    def call(self, tool, **arguments):
        return Call(f"mcp__coord__{tool}", arguments)

    def edit(self, file, old, new):
        path = str(self.place.project / file)
        change = {"file_path": path, "old_string": old, "new_string": new}
        return [Call("Read", {"file_path": path}), Call("Edit", change)]

    def shell(self, command):
        return Call("Bash", {"command": command, "description": "as asked"})

    def opening(self):
        """Claude Code tells the model only the names of MCP tools until it searches for them."""
        names = ",".join(sorted(self.exposed_names()))
        return [Call("ToolSearch", {"query": f"select:{names}", "max_results": 20})]

    def offered(self, script):
        tools = script.requests[-1]["tools"]
        return {tool["name"]: tool["input_schema"] for tool in tools if tool["name"].startswith("mcp__coord__")}
