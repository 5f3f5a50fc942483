// The WebSocket of browsers, which can set no headers: the token goes with the subprotocols.

import assert from "node:assert/strict";

const WebSocket = globalThis.WebSocket ?? (await import(process.env.COORD_WS_MODULE)).WebSocket;
const port = process.env.COORD_PORT;
const url = `ws://127.0.0.1:${port}/ws`;
const patience = setTimeout(() => {
  console.error("waited in vain");
  process.exit(1);
}, 30_000);

class Client {
  constructor(token) {
    this.socket = new WebSocket(url, ["coord", `bearer.${token}`]);
    this.lastId = 0;
    this.open = new Map();
    this.events = [];
    this.waiting = [];
    this.closed = new Promise((resolve) => this.socket.addEventListener("close", resolve));
    this.socket.addEventListener("message", ({ data }) => this.receive(JSON.parse(data)));
    this.ready = new Promise((resolve, reject) => {
      this.socket.addEventListener("open", () => resolve(this));
      this.socket.addEventListener("error", reject);
    });
  }

  receive(frame) {
    if (this.open.has(frame.id)) {
      const { resolve, reject } = this.open.get(frame.id);
      this.open.delete(frame.id);
      if (frame.error) reject(Object.assign(new Error(frame.error.message), frame.error.data));
      else resolve(frame.result);
    } else if (this.waiting.length > 0) this.waiting.shift()(frame);
    else this.events.push(frame);
  }

  call(method, params = {}) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  }

  next() {
    if (this.events.length > 0) return Promise.resolve(this.events.shift());
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

const operator = await new Client(process.env.COORD_OPERATOR).ready;
assert.equal(operator.socket.protocol, "coord");
assert.equal(operator.socket.extensions, "");
const made = await operator.call("token.create", { agent: "page" });
const page = await new Client(made.secret).ready;

const session = await page.call("session.open", { kind: "browser" });
assert.equal(session.agent, "page");
await operator.call("events.subscribe", { filters: [{ kinds: ["task.done"] }] });
const { task } = await page.call("task.submit", { title: "from a page ✓", payload: { n: 1 } });
const { claim } = await page.call("task.claim");
assert.equal(claim.task, task);
assert.deepEqual(claim.payload, { n: 1 });
await page.call("task.complete", { task, fence: claim.fence, result: "done" });
const event = await operator.next();
assert.equal(event.method, "event");
assert.equal(event.params.changes[0].task, task);

await assert.rejects(page.call("token.list"), (error) => error.kind === "forbidden");
await assert.rejects(page.call("task.submitt"), (error) => error.suggestion === "task.submit");
page.socket.send(new Uint8Array([1, 2, 3]));
assert.equal((await page.next()).error.data.kind, "invalid_request");
await page.call("ping");

// The connection is lost and found again: the session goes on, and so does the subscription.
await page.call("events.subscribe");
page.socket.close(1000);
assert.equal((await page.closed).code, 1000);
await operator.call("context.put", { key: "k", value: 1 });
const again = await new Client(made.secret).ready;
const resume = { session: session.session, secret: session.resume_secret };
const resumed = await again.call("session.open", { resume });
assert.equal(resumed.resumed, true);
await again.call("events.subscribe", { from: session.cursor });
const kinds = [];
while (!kinds.includes("context.put")) {
  kinds.push(...(await again.next()).params.changes.map((change) => change.kind));
}
assert.ok(kinds.indexOf("task.submitted") < kinds.indexOf("task.claimed"), kinds);
assert.ok(kinds.indexOf("task.claimed") < kinds.indexOf("task.done"), kinds);

// A revoked token ends the connection with a reason.
await operator.call("token.revoke", { token: made.token });
const end = await again.closed;
assert.equal(end.code, 1001);
assert.ok(again.events.some((frame) => frame.method === "session.closed"), again.events);
await assert.rejects(new Client(made.secret).ready);

operator.socket.close();
await operator.closed;
clearTimeout(patience);
console.log("node: all well");
