"""The tools for models with the official Python SDK: in both eras over HTTP, and over stdio."""

import asyncio
import json
import os
import urllib.request

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError
from websockets.asyncio.client import connect

PORT = os.environ["COORD_PORT"]
OPERATOR = os.environ["COORD_OPERATOR"]
BINARY = os.environ["COORD_BINARY"]
URL = f"http://127.0.0.1:{PORT}/mcp"
TOOLS = [
    "status", "list_tasks", "claim_task", "submit_task", "report_progress", "finish_task", "reserve", "release",
    "send_message", "read_messages", "context", "wait",
]


async def token(agent):
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    async with connect(f"ws://127.0.0.1:{PORT}/ws", additional_headers=headers) as operator:
        params = {"agent": agent}
        request = {"jsonrpc": "2.0", "id": 1, "method": "token.create", "params": params}
        await operator.send(json.dumps(request))
        return json.loads(await operator.recv())["result"]["secret"]


def http(secret, mode, url=URL):
    client = create_mcp_http_client(headers={"Authorization": f"Bearer {secret}"})
    return Client(streamable_http_client(url, http_client=client), mode=mode)


def stdio(secret):
    variables = {"COORD_URL": f"ws://127.0.0.1:{PORT}/ws", "COORD_TOKEN": secret}
    return Client(StdioServerParameters(command=BINARY, args=["mcp"], env=variables), mode="legacy")


async def call(client, name, **arguments):
    """Calls a tool that must answer. The SDK checks the answer against the output schema."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, (name, arguments, result.content)
    assert json.loads(result.content[0].text) == result.structured_content, name
    return result.structured_content


async def refused(client, name, words, **arguments):
    result = await client.call_tool(name, arguments)
    text = result.content[0].text
    assert result.is_error, (name, arguments, text)
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"
    return [json.loads(further.text) for further in result.content[1:]]


async def day(ana, bob):
    """Each tool once, in the order of a working day; `ana` and `bob` are two agents."""
    listed = (await ana.list_tools()).tools
    assert [tool.name for tool in listed] == TOOLS, listed
    assert "status" in ana.instructions
    assert (await call(ana, "status"))["tasks"] == []
    made = await call(ana, "submit_task", title="write the parser", details='{"file": "src/parser.rs"}')
    task = made["task"]
    claimed = (await call(bob, "claim_task"))["claimed"]
    assert claimed["task"] == task and claimed["words"] == "write the parser", claimed
    assert claimed["details_words"] == '{"file": "src/parser.rs"}', claimed
    await call(bob, "report_progress", task=task, percent=50, note="half of it")
    await call(bob, "report_progress", note="parsing")
    reserved = await call(bob, "reserve", resources=["src/parser.rs", "docs/"], note="the parser")
    assert reserved["taken"] == ["file:src/parser.rs", "file:docs/"], reserved
    again = await call(bob, "reserve", resources=["src/parser.rs"])
    assert again["kept"] == ["file:src/parser.rs"] and again["taken"] == [], again
    [notes] = await refused(ana, "reserve", ["bob", "send_message"], resources=["src/parser.rs"])
    [holder] = notes["in_the_way"]
    assert holder["resource"] == "file:src/parser.rs" and holder["note_words"] == "the parser", notes
    page = await call(ana, "list_tasks")
    assert page["tasks"][0]["progress"] == "50 %: half of it" and page["counts"]["claimed"] == 1, page
    others = (await call(ana, "status"))["others"]
    assert [peer for peer in others if peer["agent"].startswith("bob") and peer.get("reserved")], others
    to = (await call(bob, "status"))["you"]
    sent = await call(ana, "send_message", to=to, text="are you done?\u202e", urgent=True)
    assert sent["live"] == [to], sent
    waited = await call(bob, "wait", seconds=30)
    assert "read_messages" in waited["happened"][0], waited
    read = await call(bob, "read_messages")
    assert read["messages"][0]["words"] == "are you done?\\u{202e}" and read["acknowledged"] == 0, read
    read = await call(bob, "read_messages", acknowledge=True)
    assert read["acknowledged"] == 1, read
    assert (await call(bob, "read_messages"))["messages"] == []
    await call(bob, "finish_task", task=task, outcome="done", text="it parses")
    await refused(bob, "finish_task", ["do not hold", "status"], task=task, outcome="done")
    whole = (await call(ana, "list_tasks", task=task))["whole"]
    assert whole["result_words"] == "it parses", whole
    waited = await call(ana, "wait", seconds=30, task=task)
    assert "is done" in waited["happened"][0], waited
    assert (await call(bob, "release", resources=["docs/"]))["released"] == 1
    assert (await call(bob, "release", all=True))["released"] == 1
    assert "status" in (await call(bob, "release", resources=["docs/"]))["next"]
    fact = (await call(ana, "context", key="build", value="make test"))["facts"][0]
    read = (await call(bob, "context", key="build"))["facts"][0]
    assert read["words"] == "make test" and read["revision"] == fact["revision"], read
    assert [it["key"] for it in (await call(bob, "context"))["facts"]] == ["build"]
    await refused(bob, "context", ["revision"], key="build", value="x", if_revision=0)
    uris = [str(resource.uri) for resource in (await ana.list_resources()).resources]
    assert uris == ["coord://inbox", "coord://state"], uris
    state = (await ana.read_resource("coord://state")).contents[0]
    assert json.loads(state.text)["you"], state
    assert (await ana.list_prompts()).prompts == []


async def mistakes(client):
    await refused(client, "reserve", ["arguments.resources[1]", "string", "array"], resources=["a", 5])
    await refused(client, "reserve", ["arguments", "files", "resources"], files=["a"])
    await refused(client, "reserve", ["a.ts,b.ts"], resources=["a.ts,b.ts"])
    await refused(client, "claim_task", ["arguments.task", "integer"], task="first")
    await refused(client, "finish_task", ["outcome", "given_back"], task=1, outcome="finished")
    await refused(client, "send_message", ["agent name"], to="bob and carl", text="hi")
    sent = await call(client, "send_message", to="nobody-here", text="hi")
    assert "no such agent" in sent["not_delivered"][0], sent
    try:
        await client.call_tool("claim", {})
        raise AssertionError("an unknown tool was called")
    except MCPError as error:
        assert "claim_task" in str(error), error


async def progress(client):
    """A wait tells that it is alive."""
    told = []

    async def tell(progress, total, message):
        told.append(progress)

    result = await client.call_tool("wait", {"seconds": 11}, progress_callback=tell)
    assert result.structured_content["happened"] == [], result
    assert told == [5, 10], told


async def operations(secret):
    async with http(secret, "auto", URL + "?tools=all") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "task_submit" in names and "session_open" not in names and "token_create" not in names, names
        made = await call(client, "task_submit", title="by its operation")
        assert made["task"] > 0, made
        await refused(client, "task_get", ["does not exist"], task=999)


def metrics():
    with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['COORD_METRICS']}/metrics") as page:
        return page.read().decode()


async def main():
    for mode in ("legacy", "auto"):
        async with http(await token(f"ana-{mode}"), mode) as ana, http(await token(f"bob-{mode}"), mode) as bob:
            expected = "2025-11-25" if mode == "legacy" else "2026-07-28"
            assert ana.protocol_version == expected, ana.protocol_version
            await day(ana, bob)
            await mistakes(ana)
        await forget()
    async with stdio(await token("ana-stdio")) as ana, stdio(await token("bob-stdio")) as bob:
        await day(ana, bob)
        await mistakes(ana)
        async with http(await token("carl"), "auto") as carl:
            await asyncio.gather(progress(ana), progress(carl))
    await operations(await token("dora"))
    page = metrics()
    assert 'coord_tool_calls_total{outcome="ok",tool="status"}' in page, page
    print("all tools over HTTP in both eras, and over stdio")


async def forget():
    """The next round finds no facts of this one."""
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    async with connect(f"ws://127.0.0.1:{PORT}/ws", additional_headers=headers) as operator:
        request = {"jsonrpc": "2.0", "id": 1, "method": "context.delete", "params": {"key": "build"}}
        await operator.send(json.dumps(request))
        assert "result" in json.loads(await operator.recv())


asyncio.run(main())
