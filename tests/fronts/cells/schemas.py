"""The schemas of the tools, in the eyes of the strictest listing there is."""

import os

from cell import cell, check


@cell("mcp-inspector lists all tools strictly", clis=None)
def strict(scene):
    coordinator = scene.coordinator
    token = coordinator.token("ana")
    secret = token.read_text().strip()
    ways = {
        "http": [coordinator.mcp_url, "--transport", "http", "--header", f"Authorization: Bearer {secret}"],
        "all": [f"{coordinator.mcp_url}?tools=all", "--transport", "http", "--header",
                f"Authorization: Bearer {secret}"],
        "stdio": [scene.programs / "coord", "mcp", "-e", f"COORD_URL={coordinator.url}", "-e",
                  f"COORD_TOKEN={secret}"],
    }
    for name, target in ways.items():
        inspector = scene.modules / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
        words = [scene.programs / "node", inspector, "--cli", *target, "--method", "tools/list", "--strict"]
        variables = {"HOME": str(scene.folder), "PATH": f"{scene.programs}:{os.defpath}"}
        program = scene.program(f"inspector-{name}", words, variables)
        code = program.wait(120)
        # Warnings are no errors: a value of any kind is meant where there is one.
        check(code == 0 and '"tools": [' in program.output(), f"{name}: it ended with {code}", program.output())
