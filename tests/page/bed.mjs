// What each scene needs: a coordinator of its own, clients, a network that can be cut, and a browser.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';

const modules = createRequire(join(process.env.PAGE_MODULES, 'here.cjs'));
const { WebSocket } = modules('ws');
export const { chromium } = modules('playwright-core');
export const axeSource = readFileSync(modules.resolve('axe-core/axe.min.js'), 'utf8');

const PATIENCE_MS = 60000;

/** Looks again and again until `look` gives something. */
export async function until(what, look) {
  const begun = Date.now();
  let last = null;
  while (Date.now() - begun < PATIENCE_MS) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 40));
  }
  throw new Error(`waited in vain for ${what}${last ? `: ${last.message}` : ''}`);
}

export function freePort() {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

export class Coordinator {
  async start(settings = {}) {
    this.settings = settings;
    this.folder = mkdtempSync(join(tmpdir(), 'coord-page-'));
    this.port = await freePort();
    this.metrics = await freePort();
    await this.run();
    this.token = readFileSync(join(this.folder, 'state/operator.token'), 'utf8').trim();
    return this;
  }

  async run() {
    this.child = spawn(process.env.PAGE_COORD, ['serve'], {
      stdio: 'ignore',
      env: {
        PATH: process.env.PATH, HOME: this.folder, COORD_PROFILE: 'testing', COORD_STATE_DIR: join(this.folder, 'state'),
        WEBSOCKET_PORT: String(this.port), METRICS_PORT: String(this.metrics), COORD_LOG: 'warn',
        ...this.settings,
      },
    });
    this.ended = new Promise((done) => { this.child.once('exit', done); });
    await until('the coordinator', async () => (await fetch(`http://127.0.0.1:${this.port}/readyz`)).ok);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async client(token = this.token) {
    return new Client().open(this.port, token);
  }

  async agent(name, params = {}) {
    const operator = await this.client();
    const { secret, token } = await operator.call('token.create', { agent: name });
    operator.socket.close();
    const client = await this.client(secret);
    Object.assign(client, { secret, token, name });
    await client.call('session.open', params);
    return client;
  }

  async code(operate) {
    const answer = await fetch(`http://127.0.0.1:${this.port}/page/code`, {
      method: 'POST', headers: { Authorization: `Bearer ${this.token}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ operate }),
    });
    return (await answer.json()).code;
  }

  /** Seconds of processor time so far. */
  cpu() {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
}

export class Client {
  open(port, token) {
    this.number = 0;
    this.waiting = new Map();
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { Authorization: `Bearer ${token}` } });
    this.socket.on('message', (data) => {
      const frame = JSON.parse(data);
      const waiter = this.waiting.get(frame.id);
      if (!waiter) return;
      this.waiting.delete(frame.id);
      if (frame.error) waiter.fail(new Error(frame.error.message));
      else waiter.done(frame.result);
    });
    return new Promise((done, fail) => {
      this.socket.once('open', () => { this.socket.on('error', () => {}); done(this); });
      this.socket.once('error', fail);
    });
  }

  call(method, params = {}) {
    const id = ++this.number;
    return new Promise((done, fail) => {
      this.waiting.set(id, { done, fail });
      this.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
  }

  /** Many calls, so many at once as a connection may have under way. */
  async many(count, make) {
    for (let i = 0; i < count; i += 100) {
      await Promise.all(Array.from({ length: Math.min(100, count - i) }, (_, k) => this.call(...make(i + k))));
    }
  }
}

/** A wire to a coordinator that can be cut. */
export class Wire {
  async start(to) {
    this.pairs = new Set();
    this.isCut = false;
    this.server = createServer((from) => {
      if (this.isCut) { from.destroy(); return; }
      const there = connect(to, '127.0.0.1');
      this.pairs.add(from).add(there);
      for (const [one, other] of [[from, there], [there, from]]) {
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => { this.pairs.delete(one); other.destroy(); });
      }
    });
    await new Promise((done) => { this.server.listen(0, '127.0.0.1', done); });
    this.url = `http://127.0.0.1:${this.server.address().port}/`;
    return this;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.pairs) socket.destroy();
  }

  mend() { this.isCut = false; }

  stop() {
    this.cut();
    this.server.close();
  }
}

/** A page with nothing of an earlier one, and all that went wrong in it. */
export async function visit(browser, url, { width = 1280, height = 800, colorScheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.stack));
  page.on('dialog', (dialog) => { page.faults.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('console', (message) => {
    // A refused login, and a coordinator that is away, are told by the browser too.
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) page.faults.push(message.text());
  });
  await page.goto(url);
  return page;
}

export async function enter(page, token, operate = false) {
  await page.getByLabel('Or paste a token').fill(token);
  if (operate) await page.getByLabel('Let me change things').check();
  await page.getByRole('button', { name: 'Enter' }).click();
  await page.locator('.side').waitFor();
  await live(page);
}

export const live = (page) => page.locator('.top .state.good', { hasText: 'live' }).waitFor();

export async function go(page, view) {
  await page.evaluate((hash) => { location.hash = hash; }, view);
  await page.locator('main h1').waitFor();
}
