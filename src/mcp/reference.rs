//! The page about the tools: `coord protocol --mcp`.

use std::fmt::Write as _;

use serde_json::Value;

use super::INSTRUCTIONS;
use super::era::supported;
use super::resources;
use super::tools;

const INTRODUCTION: &str = "\
# Tools for models (MCP)

The coordinator serves tools by the [Model Context Protocol](https://modelcontextprotocol.io) in two ways. This page
is generated: `coord protocol --mcp` prints it.

- **HTTP**: `POST /mcp` on the agents' port, with `Authorization: Bearer TOKEN`. There are no sessions, so a restart of
  the coordinator loses nothing. What an agent takes is held for 30 minutes after its last call, and any call renews
  it. An agent is present for as long.
- **stdio**: `coord mcp` is started by the agent's CLI and finds its token as every `coord` command does. Presence, and
  what the tools take, last as long as the CLI keeps it running. It takes its session up again, at the same seat, after
  a restart of the coordinator.

| CLI | over HTTP | over stdio |
|---|---|---|
| Claude Code | `claude mcp add -s user -t http coord http://127.0.0.1:8768/mcp -H 'Authorization: Bearer ${COORD_TOKEN}'` | `claude mcp add -s user coord -- coord mcp` |
| Codex | `codex mcp add coord --url http://127.0.0.1:8768/mcp --bearer-token-env-var COORD_TOKEN` | `codex mcp add coord -- coord mcp` |
| Gemini CLI | `gemini mcp add -s user -t http coord http://127.0.0.1:8768/mcp -H 'Authorization: Bearer ${COORD_TOKEN}'` | in `settings.json`: `{\"command\": \"coord\", \"args\": [\"mcp\"], \"env\": {\"COORD_TOKEN\": \"${COORD_TOKEN}\"}}` |
| opencode | `opencode mcp add coord --url http://127.0.0.1:8768/mcp --header 'Authorization=Bearer {env:COORD_TOKEN}'` | `{\"type\": \"local\", \"command\": [\"coord\", \"mcp\"]}` |

`/mcp?project=NAME` chooses a project, as `/ws` does. `/mcp?tools=all` has one tool for each operation of
[protocol.md](protocol.md) that the token may call, but for those on a connection, instead of the tools below.

## Seats: the windows of one person

With a token of `coord token create NAME --seats`, each CLI session can be an agent of its own, `NAME/SEAT`. A seat name
has 1 to 32 lower-case letters, digits and `-_.`. Other tokens stand for one agent, whatever asks.

| CLI | over stdio | over HTTP, without `?seat=NAME` and the header `Coord-Seat: NAME` |
|---|---|---|
| Claude Code | its session, as its hooks and shells | `NAME`, one agent for all windows |
| Codex | its process, as its hooks and shells | each session, by the id that Codex sends with calls |
| Gemini CLI, opencode | its process, as its hooks and shells | `NAME`, one agent for all windows |

- **Use stdio where hooks or shells of the session run `coord` too.** Over HTTP a Codex session has a mailbox and
  leases of its own, but its hooks and shells are not told its id: they are another seat, and in each other's way.
- **`/clear` in Claude Code** gives hooks and shells a new session id, and so a new seat. A running `coord mcp` is not
  told: it keeps its seat, its mailbox and what its tools reserved. `release` with `all` gives that back; reconnecting
  the server under `/mcp` takes the new seat.
- A project knows 256 seats of one token at once. Tools that change something refuse further ones
  (`seats_per_principal_max`); a seat that is not used is forgotten after an hour.

## Worktrees

Agents in one worktree of git keep each other out of the files that they reserved. Agents in different ones are told of
each other in `also_edited_by`. `coord mcp` finds the worktree by its current folder, or else by `CLAUDE_PROJECT_DIR`, as
`coord lease ensure --tree auto` does. Over HTTP the model names it in `tree`. Names are compared as they are, so agents
in one worktree must write the same one; without a name, what is reserved is kept from all worktrees.

## Calls that are repeated

A client repeats a call when it lost the answer. Over HTTP the call then has one effect and the same answer, if the
client names it: Claude Code does by `claudecode/toolUseId`, Codex by `callId`. Names below 16 bytes are taken for
counters, which begin again, and have no effect. Gemini CLI and opencode name no calls; over stdio no answer is lost.
";

const REFUSALS: &str = "\
## What is refused, and how

| request | answer |
|---|---|
| GET, DELETE | 405 with `Allow: POST` |
| no token, or one that is unknown or revoked | 401, as at `/ws` |
| a Host or Origin that is not configured | 403, as at `/ws` |
| `/.well-known/…` | 404 as JSON: there is no OAuth here |
| Content-Type that is not JSON | 415, -32600 |
| a body larger than `message_bytes_max` | 413, -32600 |
| no JSON, no UTF-8, no JSON-RPC, a batch | 400, -32700 or -32600 |
| a protocol version that is not served | 400, -32022; `data.supported` lists those that are |
| 2026-07-28: headers that do not repeat the body | 400, -32020 |
| a seat name that is none, or two of them | 400, -32602; `data.path` is `seat` |
| a seat, with a token that allows none | 403, -32008; `data.path` is `seat` |
| a method that there is not | -32601; 404 in 2026-07-28 |
| a tool that there is not | -32602 with the most similar one |
| wrong arguments, and all that a tool refuses | a result with `isError`: what is wrong, and what to do next |
| a call while the coordinator stops | 503, -32006 with `Retry-After` |

`wait` ends within 50 seconds, below the time-outs of the clients. Where the client sent a progress token and takes
`text/event-stream`, it gets a sign of progress every 5 seconds.

Lists are cut to about 1,400 characters, and the answer says how to get the rest. Texts of other agents stand only in fields named `words` or `…_words`. They are cut to a bound, and characters that
act or hide are shown by their number. The instructions tell the model what these fields are. A refusal that names leases of
others has their notes in a second text, as JSON: `in_the_way`, a list of `agent`, `resource` and `note_words`.
";

/// The page.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let versions: Vec<&str> = supported().collect();
    push(
        &mut page,
        &format!("\nProtocol versions: {}.\n", versions.join(", ")),
    );
    push(
        &mut page,
        "\n## Instructions\n\nWhat a model reads first:\n\n",
    );
    push(&mut page, &format!("> {INSTRUCTIONS}\n"));
    push(&mut page, "\n## Tools\n");
    for tool in tools::all() {
        tool_section(&mut page, &tool);
    }
    push(
        &mut page,
        "\n## Resources\n\n| URI | what it is |\n|---|---|\n",
    );
    for resource in resources::LIST.into_iter().map(resources::Known::listed) {
        let row = format!("| `{}` | {} |\n", resource.uri, resource.description);
        push(&mut page, &row);
    }
    push(&mut page, "\n");
    push(&mut page, REFUSALS);
    page
}

fn tool_section(page: &mut String, tool: &Value) {
    let text = |name: &str| tool[name].as_str().unwrap_or_default();
    let effect = match (
        tool["annotations"]["readOnlyHint"] == true,
        tool["annotations"]["idempotentHint"] == true,
    ) {
        (true, _) => "changes nothing",
        (false, true) => "the same again changes nothing more",
        (false, false) => "changes something",
    };
    let (name, title, description) = (text("name"), text("title"), text("description"));
    push(
        page,
        &format!("\n### {name}\n\n{title}; {effect}. {description}\n"),
    );
    let input = &tool["inputSchema"];
    let fields = input["properties"].as_object();
    let fields: Vec<_> = fields.into_iter().flatten().collect();
    if !fields.is_empty() {
        push(page, "\n| argument | type | what it is |\n|---|---|---|\n");
    }
    for (name, schema) in fields {
        let required = input["required"].as_array();
        let required = required.is_some_and(|all| all.iter().any(|it| it == name.as_str()));
        let required = if required { ", required" } else { "" };
        let about = schema["description"].as_str().unwrap_or_default();
        push(
            page,
            &format!("| `{name}` | {}{required} | {about} |\n", kind(schema)),
        );
    }
    let answers = tool["outputSchema"]["properties"].as_object();
    let answers: Vec<String> = answers
        .into_iter()
        .flatten()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    push(page, &format!("\nThe answer has {}.\n", answers.join(", ")));
}

fn kind(schema: &Value) -> String {
    let named = schema["enum"].as_array().map(|values| {
        let values = values.iter().filter_map(Value::as_str);
        values
            .map(|it| format!("`{it}`"))
            .collect::<Vec<_>>()
            .join(", ")
    });
    let simple = schema["type"].as_str().unwrap_or("any");
    let items = schema["items"]["type"].as_str();
    match (named, items) {
        (Some(values), _) => values,
        (None, Some(item)) => format!("list of {item}"),
        (None, None) => simple.to_owned(),
    }
}

fn push(page: &mut String, text: &str) {
    page.write_str(text)
        .expect("a string takes all that is written to it");
}
