"""A whole session with the `websockets` library: what a user of it would write, and its edges."""

import asyncio
import json
import os
import socket

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

PORT = os.environ["COORD_PORT"]
OPERATOR = os.environ["COORD_OPERATOR"]
URL = f"ws://127.0.0.1:{PORT}/ws"


class Failure(Exception):
    """A JSON-RPC error."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.kind = error["data"]["kind"]
        self.data = error["data"]


class Client:
    """Calls over one connection; what was not asked for waits in `notifications`."""

    def __init__(self, connection):
        self.connection = connection
        self.notifications = []
        self.last_id = 0

    async def call(self, method, **params):
        self.last_id += 1
        request = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}
        await self.connection.send(json.dumps(request))
        while True:
            frame = json.loads(await asyncio.wait_for(self.connection.recv(), 20))
            if frame.get("id") == self.last_id:
                if "error" in frame:
                    raise Failure(frame["error"])
                return frame["result"]
            self.notifications.append(frame)

    async def event(self, kind):
        """The next event with a change of this kind."""
        while True:
            while self.notifications:
                frame = self.notifications.pop(0)
                if frame["method"] != "event":
                    continue
                if any(change["kind"] == kind for change in frame["params"]["changes"]):
                    return frame["params"]
            text = await asyncio.wait_for(self.connection.recv(), 20)
            self.notifications.append(json.loads(text))


def opened(token, **options):
    headers = {"Authorization": f"Bearer {token}"}
    return connect(URL, additional_headers=headers, **options)


async def token(agent):
    async with opened(OPERATOR) as connection:
        return (await Client(connection).call("token.create", agent=agent))["secret"]


async def work(alice, bob):
    """Submit, claim, complete, with events; a lease in the way; a message."""
    async with opened(alice) as first, opened(bob) as second:
        a, b = Client(first), Client(second)
        session = await a.call("session.open", kind="python", capabilities=["review"])
        assert session["agent"] == "alice" and session["environment"] == "testing", session
        await b.call("session.open")
        await a.call("events.subscribe", filters=[{"kinds": ["task.*"]}])
        task = (await a.call("task.submit", title="größer – 更大", payload={"x": [1, 2.5]}))["task"]
        claim = (await b.call("task.claim", wait_ms=5_000))["claim"]
        assert claim["task"] == task and claim["payload"] == {"x": [1, 2.5]}, claim
        assert claim["title"] == "größer – 更大", claim
        fence = claim["fence"]
        await b.call("task.complete", task=task, fence=fence, result="ok")
        for kind in ["task.submitted", "task.claimed", "task.done"]:
            event = await a.event(kind)
            assert any(change["task"] == task for change in event["changes"]), event
        await a.call("lease.acquire", resources=["path:src/**/*.rs"])
        try:
            await b.call("lease.acquire", resources=["path:src/a*/b.rs"])
            raise AssertionError("two agents hold what overlaps")
        except Failure as failure:
            assert failure.kind == "conflict", failure.data
            assert failure.data["conflicts"][0]["holder"] == "alice", failure.data
        sent = await a.call("message.send", to={"agent": "bob"}, body="hello")
        assert sent["recipients"] == [{"agent": "bob", "delivery": "live"}], sent
        inbox = await b.call("message.inbox")
        assert [message["body"] for message in inbox["messages"]] == ["hello"], inbox
        await b.call("message.ack", messages=[inbox["messages"][0]["message"]])


async def resume(alice, bob):
    """The socket is killed without a word; the session is taken up, and nothing was missed."""
    async with opened(bob) as second:
        b = Client(second)
        first = await opened(alice)
        a = Client(first)
        session = await a.call("session.open", grace_ms=30_000)
        lease = await a.call("lease.acquire", resources=["name:merge"])
        subscribed = await a.call("events.subscribe")
        # A reset, as from a machine that lost its power.
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        raw = first.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        first.transport.abort()
        put = await b.call("context.put", key="while/away", value=1)
        async with opened(alice) as again:
            a = Client(again)
            resume = {"session": session["session"], "secret": session["resume_secret"]}
            taken = await a.call("session.open", resume=resume)
            assert taken["resumed"] and taken["session"] == session["session"], taken
            held = await a.call("lease.check", lease=lease["lease"], fence=lease["fence"])
            assert held["ok"], held
            await a.call("events.subscribe", **{"from": subscribed["cursor"]})
            event = await a.event("context.put")
            change = next(c for c in event["changes"] if c["kind"] == "context.put")
            assert change["revision"] == put["revision"], event
            await a.call("session.close")


async def edges(alice):
    """Compression is offered and declined; pings; close codes; refusals."""
    async with opened(alice, compression="deflate") as connection:
        assert connection.protocol.extensions == [], connection.protocol.extensions
        offered = connection.request.headers["Sec-WebSocket-Extensions"]
        assert "permessage-deflate" in offered, offered
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
        latency = await asyncio.wait_for(await connection.ping(b"are you there"), 20)
        assert latency >= 0
        # Large messages come through whole, in fragments too.
        value = "x" * 60_000
        await Client(connection).call("context.put", key="big", value=value)
        got = await Client(connection).call("context.get", key="big")
        assert got["value"] == value
        request = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
        text = json.dumps(request)
        await connection.send([text[:5], text[5:9], text[9:]])
        assert json.loads(await connection.recv())["id"] == 9
        await connection.send(b"\x00\x01")
        assert json.loads(await connection.recv())["error"]["data"]["kind"] == "invalid_request"
        await connection.close(1000, "done")
        assert connection.close_code == 1000, connection.close_code
    async with opened(alice) as connection:
        try:
            await connection.send("x" * (2 << 20))
            await asyncio.wait_for(connection.recv(), 20)
            raise AssertionError("an oversized message was taken")
        except ConnectionClosedError as closed:
            assert closed.rcvd.code == 1009, closed
            assert "message_bytes_max" in closed.rcvd.reason, closed
    for wrong, status in [("nonsense", 401), ("", 401)]:
        try:
            async with opened(wrong):
                raise AssertionError("a wrong token was taken")
        except InvalidStatus as refused:
            assert refused.response.status_code == status, refused
    try:
        async with opened(alice, origin="https://evil.example"):
            raise AssertionError("a foreign page was let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403, refused
    subprotocols = ["coord", f"bearer.{alice}"]
    async with connect(URL, subprotocols=subprotocols) as connection:
        assert connection.subprotocol == "coord", connection.subprotocol
        await Client(connection).call("ping")


async def revoked():
    """A revoked token's connection hears why and is closed."""
    async with opened(OPERATOR) as connection:
        operator = Client(connection)
        made = await operator.call("token.create", agent="carol")
        async with opened(made["secret"]) as victim:
            await operator.call("token.revoke", token=made["token"])
            told = json.loads(await asyncio.wait_for(victim.recv(), 20))
            assert told["method"] == "session.closed", told
            await asyncio.wait_for(victim.wait_closed(), 20)
            assert victim.close_code == 1001, victim.close_code


async def main():
    alice, bob = await token("alice"), await token("bob")
    await work(alice, bob)
    await resume(alice, bob)
    await edges(alice)
    await revoked()
    print("python: all well")


asyncio.run(main())
