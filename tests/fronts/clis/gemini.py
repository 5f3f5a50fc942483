"""Gemini CLI."""

from model import Call

from .base import Cli, Http

HOOKS = ("SessionStart", "BeforeAgent", "BeforeTool", "AfterTool", "AfterAgent", "SessionEnd")


class Gemini(Cli):
    name = "gemini"

    def command(self):
        return [self.place.programs / "node", self.modules / "@google/gemini-cli/bundle/gemini.js"]

    def own_variables(self):
        own = {"GOOGLE_GEMINI_BASE_URL": self.place.model_url, "GEMINI_API_KEY": "x"}
        if self.place.trusted:
            own["GEMINI_CLI_TRUST_WORKSPACE"] = "true"
        return own

    def configure(self):
        settings = {
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": True}},
            "general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False},
        }
        if self.place.hooks:
            hook = {"type": "command", "name": "coord", "command": self.hook_command(), "timeout": 5000}
            settings["hooks"] = {event: [{"hooks": [hook]}] for event in HOOKS}
        servers = {"mcpServers": {"coord": self.server()}} if self.place.server else {}
        if self.place.of_project:
            self.write_in_project(".gemini/settings.json", servers)
        else:
            settings |= servers
        self.write(".gemini/settings.json", settings)

    def server(self):
        if isinstance(self.place.server, Http):
            return {"type": "http", "url": self.place.server.url,
                    "headers": {"Authorization": "Bearer ${COORD_TOKEN}"}, "trust": True}
        # A variable whose name looks secret reaches the server only when it is named here.
        return {"command": "coord", "args": ["mcp"], "env": {"COORD_TOKEN": "${COORD_TOKEN}"}, "trust": True}

    def add_entry(self, entry):
        self.change(".gemini/settings.json", "mcpServers", entry)

    def one_shot(self, prompt):
        return ["-m", "gemini-2.5-flash", "--approval-mode", "yolo", "-p", prompt]

    def call(self, tool, **arguments):
        return Call(f"mcp_coord_{tool}", arguments)

    def shell(self, command):
        return Call("run_shell_command", {"command": command, "description": "as asked"})

    def edit(self, file, old, new):
        change = {"file_path": str(self.place.project / file), "instruction": "as asked", "old_string": old,
                  "new_string": new}
        return [Call("replace", change)]

    def offered(self, script):
        declared = [tool for group in script.requests[-1]["tools"] for tool in group.get("functionDeclarations", [])]
        schemas = {tool["name"]: tool["parametersJsonSchema"] for tool in declared
                   if tool["name"].startswith("mcp_coord_")}
        for schema in schemas.values():
            # Gemini CLI adds it to every tool.
            schema["properties"].pop("wait_for_previous", None)
        return schemas
