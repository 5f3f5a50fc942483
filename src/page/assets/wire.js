// The WebSocket: calls, notifications, and connecting again.

const PATIENCE_MS = 20000;
const BEAT_MS = 20000;

export class WireError extends Error {
  constructor(error) {
    super(error.message);
    this.kind = error.data?.kind ?? 'unknown';
    this.data = error.data ?? {};
  }
}

/** An id for a request that changes something: repeated, it has one effect. */
export function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

export class Wire {
  /** `on`: `open()`, `notify(method, params)`, `lost(nextTryMs)`, `refused()` when the page's session is over. */
  constructor(on) {
    this.on = on;
    this.number = 0;
    this.waiting = new Map();
    this.tries = 0;
    this.project = null;
    this.latency = null;
    this.socket = null;
    this.timer = 0;
    const hurry = () => { if (!this.socket && this.timer) this.connect(); };
    addEventListener('online', hurry);
    document.addEventListener('visibilitychange', () => { if (!document.hidden) hurry(); });
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.stopped = false;
    const url = new URL('/ws', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    if (this.project) url.searchParams.set('project', this.project);
    const socket = new WebSocket(url, ['coord']);
    this.socket = socket;
    // A network that swallows packets gives no error.
    const slow = setTimeout(() => socket.close(), 10000);
    socket.onopen = () => {
      clearTimeout(slow);
      this.tries = 0;
      this.beat = setInterval(() => this.ping(), BEAT_MS);
      this.ping();
      this.on.open();
    };
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(JSON.parse(data)); };
    socket.onclose = () => {
      clearTimeout(slow);
      if (socket === this.socket) this.lose();
    };
  }

  async ping() {
    const begun = performance.now();
    try {
      await this.call('ping', {}, 10000);
      this.latency = performance.now() - begun;
    } catch {
      this.socket?.close();
    }
  }

  receive(frame) {
    if (frame.id === undefined || frame.id === null) {
      if (frame.method) this.on.notify(frame.method, frame.params);
      return;
    }
    const caller = this.waiting.get(frame.id);
    if (!caller) return;
    this.waiting.delete(frame.id);
    clearTimeout(caller.timer);
    if (frame.error) caller.fail(new WireError(frame.error));
    else caller.done(frame.result);
  }

  call(method, params = {}, patience = PATIENCE_MS) {
    return new Promise((done, fail) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        fail(new WireError({ message: 'there is no connection to the coordinator', data: { kind: 'offline' } }));
        return;
      }
      const id = ++this.number;
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        fail(new WireError({ message: 'no answer in time', data: { kind: 'offline' } }));
      }, patience);
      this.waiting.set(id, { done, fail, timer });
      this.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
  }

  async lose() {
    clearInterval(this.beat);
    this.socket = null;
    for (const caller of this.waiting.values()) {
      clearTimeout(caller.timer);
      caller.fail(new WireError({ message: 'the connection was lost', data: { kind: 'offline' } }));
    }
    this.waiting.clear();
    if (this.stopped) return;
    // The browser does not tell a page why an upgrade was refused, so the session is asked for.
    const answer = await fetch('/page/session', { cache: 'no-store' }).catch(() => null);
    if (this.stopped || this.socket) return;
    if (answer?.status === 401) {
      this.on.refused();
      return;
    }
    this.tries += 1;
    const pause = Math.min(300 * 2 ** Math.min(this.tries, 6), 10000) * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => this.connect(), pause);
    this.on.lost(pause);
  }

  stop() {
    this.stopped = true;
    clearInterval(this.beat);
    clearTimeout(this.timer);
    this.timer = 0;
    this.socket?.close();
  }
}
