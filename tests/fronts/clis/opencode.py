"""opencode."""

import subprocess

from model import Call

from .base import ARCHITECTURE, Cli, Http


class Opencode(Cli):
    name = "opencode"

    def command(self):
        return [self.modules / f"opencode-linux-{ARCHITECTURE}/bin/opencode"]

    def own_variables(self):
        return {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
                "OPENCODE_DISABLE_AUTOUPDATE": "1"}

    def configure(self):
        model = {"name": "scripted", "tool_call": True, "limit": {"context": 100000, "output": 8000}}
        provider = {
            "npm": "@ai-sdk/openai-compatible", "name": "scripted",
            "options": {"baseURL": f"{self.place.model_url}/v1", "apiKey": "x"}, "models": {"scripted": model},
        }
        settings = {
            "$schema": "https://opencode.ai/config.json", "autoupdate": False, "share": "disabled",
            "model": "scripted/scripted", "small_model": "scripted/scripted", "provider": {"scripted": provider},
        }
        if not self.place.set_up:
            # Otherwise opencode tries for 70 seconds to fetch a package without network. `coord setup` writes it too.
            self.write(".config/opencode/.npmrc", "fetch-retry-mintimeout=500\nfetch-retry-maxtimeout=2000\n")
        if self.place.hooks:
            plugin = subprocess.run([self.place.programs / "coord", "hook", "opencode", "--plugin"], check=True,
                                    capture_output=True, text=True).stdout
            self.write(".config/opencode/plugins/coord.js", plugin)
        servers = {"mcp": {"coord": self.server()}} if self.place.server else {}
        if self.place.of_project:
            self.write_in_project("opencode.json", servers)
        else:
            settings |= servers
        self.write(".config/opencode/opencode.json", settings)

    def server(self):
        if isinstance(self.place.server, Http):
            return {"type": "remote", "url": self.place.server.url, "oauth": False,
                    "headers": {"Authorization": "Bearer {env:COORD_TOKEN}"}}
        return {"type": "local", "command": ["coord", "mcp"], "environment": {}}

    def add_entry(self, entry):
        self.change(".config/opencode/opencode.json", "mcp", entry)

    def one_shot(self, prompt):
        return ["run", "--auto", prompt]

    def in_terminal(self, prompt):
        return ["--mini", "--auto", "--prompt", prompt]

    def shell(self, command):
        return Call("bash", {"command": command, "description": "as asked"})

    def call(self, tool, **arguments):
        return Call(f"coord_{tool}", arguments)

    def edit(self, file, old, new):
        path = str(self.place.project / file)
        change = {"filePath": path, "oldString": old, "newString": new}
        return [Call("read", {"filePath": path}), Call("edit", change)]

    def offered(self, script):
        declared = [tool["function"] for tool in script.requests[-1]["tools"]]
        return {tool["name"]: tool["parameters"] for tool in declared if tool["name"].startswith("coord_")}
