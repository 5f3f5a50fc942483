// All that the page knows. Lists fill it once; after that events say what to ask for again.

import { Wire } from './wire.js';

const LOG_MAX = 6000;
const FLUSH_MS = 1000;
const PAGE = 1000;
/** Events from before the page was opened, for the timeline: as many as the coordinator still has of these. */
const LOOK_BACK = [3000, 400, 0];
const SAMPLE_MS = 15000;
const SAMPLES_MAX = 960;

export class Store {
  constructor(changed) {
    this.changed = changed;
    this.wire = new Wire({
      open: () => this.begin(),
      notify: (method, params) => this.notified(method, params),
      lost: () => { this.link = 'lost'; this.changed(); },
      refused: () => { this.link = 'out'; this.changed(); },
    });
    this.link = 'connecting';
    this.note = null;
    this.cursor = null;
    this.offset = null;
    this.samples = [];
    this.clear();
    setInterval(() => this.flush(), FLUSH_MS);
    setInterval(() => this.sample(), SAMPLE_MS);
  }

  clear() {
    this.ready = false;
    this.agents = new Map();
    this.tasks = new Map();
    this.leases = new Map();
    this.context = new Map();
    this.inbox = [];
    this.finished = { done: 0, dead: 0, cancelled: 0 };
    this.status = null;
    this.log = [];
    this.projects = [];
    this.forget();
  }

  forget() {
    this.dirty = { agents: new Set(), tasks: new Set(), leases: new Set(), inbox: false, all: false };
  }

  get acts() { return this.me && this.me.role !== 'observer'; }
  get operates() { return this.me?.role === 'operator'; }

  call(method, params) { return this.wire.call(method, params); }

  /** Journal time now, as well as can be told from the last answer. */
  now() { return this.offset === null ? 0 : Date.now() - this.offset; }
  heard(ms) { if (ms !== undefined) this.offset = Date.now() - ms; }

  enter(me) {
    this.me = me;
    this.link = 'connecting';
    this.wire.connect();
  }

  leave() {
    this.wire.stop();
    this.me = null;
    this.cursor = null;
    this.note = null;
    this.samples = [];
    this.clear();
  }

  change(project) {
    this.wire.stop();
    this.cursor = null;
    this.clear();
    this.wire.project = project;
    this.wire.connect();
    this.changed();
  }

  async begin() {
    const socket = this.wire.socket;
    try {
      const again = this.cursor !== null && this.ready;
      let over = !again;
      if (again) {
        try {
          await this.call('events.subscribe', { from: this.cursor });
        } catch (error) {
          if (error.kind !== 'cursor_expired' && error.kind !== 'epoch_changed') throw error;
          this.note = error.kind === 'epoch_changed'
            ? 'The shared journal began anew: everything was read again.'
            : 'Too much happened while the page was away: everything was read again, and the timeline has a gap.';
          over = true;
        }
      }
      if (over) await this.startOver();
      // What was not told by an event, such as how a session fared meanwhile.
      else this.dirty.all = true;
      if (this.wire.socket !== socket) return;
      this.link = 'live';
      this.ready = true;
      this.changed();
      this.flush();
      if (!this.samples.length) this.sample();
    } catch (error) {
      if (this.wire.socket !== socket) return;
      this.note = `The coordinator refused: ${error.message}`;
      this.changed();
      socket?.close();
    }
  }

  async startOver() {
    const status = await this.call('server.status');
    this.heard(status.project.now_ms);
    this.status = status;
    const [epoch, position] = status.project.cursor.split(':').map(Number);
    this.listed = position;
    this.log = [];
    this.forget();
    for (const back of LOOK_BACK) {
      try {
        const from = back ? `${epoch}:${Math.max(0, position - back)}` : status.project.cursor;
        this.cursor = (await this.call('events.subscribe', { from })).cursor;
        break;
      } catch (error) {
        if (error.kind !== 'cursor_expired' && error.kind !== 'epoch_changed') throw error;
        if (!back) this.cursor = (await this.call('events.subscribe')).cursor;
      }
    }
    await this.list();
  }

  async list() {
    const [agents, tasks, leases, context] = await Promise.all([
      this.every('agent.list', 'agents'), this.every('task.list', 'tasks'), this.every('lease.list', 'leases'),
      this.every('context.list', 'entries'),
    ]);
    this.agents = new Map(agents.map((agent) => [agent.name, agent]));
    this.tasks = new Map(tasks.map((task) => [task.task, task]));
    this.leases = new Map(leases.map((lease) => [lease.lease, lease]));
    this.context = new Map(context.map((entry) => [entry.key, entry]));
    const [projects] = await Promise.all([this.call('project.list'), this.readStatus(), this.readInbox()]);
    this.projects = projects.projects;
  }

  async every(method, field) {
    const all = [];
    let after = null;
    do {
      const params = { count_max: PAGE };
      if (after !== null) params.after = after;
      const page = await this.call(method, params);
      all.push(...page[field]);
      this.heard(page.now_ms);
      if (page.finished) this.finished = page.finished;
      after = page.next_after ?? null;
    } while (after !== null && all.length < 20000);
    return all;
  }

  async readStatus() {
    this.status = await this.call('server.status');
    this.heard(this.status.project.now_ms);
  }

  async readInbox() {
    if (!this.acts) return;
    try {
      this.inbox = (await this.call('message.inbox', { count_max: 100 })).messages;
    } catch (error) {
      if (error.kind === 'offline') throw error;
      this.inbox = [];
    }
  }

  notified(method, params) {
    if (method === 'event') this.happened(params);
    else if (method === 'events.closed') {
      this.cursor = params.cursor;
      this.begin();
    } else if (method === 'epoch.changed') {
      this.note = 'The shared journal lost acknowledged changes: everything was read again.';
      this.startOver().then(() => this.changed()).catch(() => this.wire.socket?.close());
    } else if (method === 'session.closed') this.note = `The coordinator closed the connection: ${params.reason}`;
  }

  happened({ cursor, at_ms: at, changes }) {
    this.cursor = cursor;
    const live = Number(cursor.split(':')[1]) > (this.listed ?? 0);
    for (const change of changes) {
      this.log.push({ at, ...change });
      if (live) this.apply(change, at);
    }
    if (this.log.length > LOG_MAX + 500) this.log.splice(0, this.log.length - LOG_MAX);
    if (live) {
      this.heard(at);
      this.changed();
    }
  }

  apply(change, at) {
    const { kind, agent, task, lease, key } = change;
    const { dirty } = this;
    if (kind === 'agent.removed') {
      this.agents.delete(agent);
      dirty.agents.delete(agent);
    } else if (agent) dirty.agents.add(agent);
    if (kind.startsWith('task.')) {
      if (task) dirty.tasks.add(task);
      else dirty.all = true;
    } else if (kind === 'lease.released' || kind === 'lease.opened') {
      this.leases.delete(lease);
      dirty.leases.delete(lease);
    } else if (lease) dirty.leases.add(lease);
    for (const name of change.to ?? []) {
      dirty.agents.add(name);
      if (name === this.me.agent) dirty.inbox = true;
    }
    if (kind.startsWith('message.') && agent === this.me.agent) dirty.inbox = true;
    if (kind === 'context.put') this.context.set(key, { key, revision: change.revision, written_by: agent, written_at_ms: at });
    if (kind === 'context.deleted') this.context.delete(key);
    if (kind === 'epoch.started' || kind === 'project.created') dirty.all = true;
  }

  /** Asks again for what changed. A hidden page saves it up. */
  async flush() {
    if (this.link !== 'live' || document.hidden || this.flushing) return;
    const { dirty } = this;
    if (!(dirty.all || dirty.inbox || dirty.agents.size || dirty.tasks.size || dirty.leases.size)) return;
    this.forget();
    this.flushing = true;
    try {
      if (dirty.all) await this.list();
      else {
        await Promise.all([
          this.refreshAgents(dirty.agents), this.refresh(dirty.tasks, 'task.list', 'tasks', 'task', this.tasks),
          this.refresh(dirty.leases, 'lease.list', 'leases', 'lease', this.leases), dirty.inbox && this.readInbox(),
        ]);
      }
      this.changed();
    } catch {
      this.dirty.all = true;
    } finally {
      this.flushing = false;
    }
  }

  async refreshAgents(names) {
    if (names.size > 6) {
      const agents = await this.every('agent.list', 'agents');
      this.agents = new Map(agents.map((agent) => [agent.name, agent]));
      return;
    }
    await Promise.all([...names].map(async (agent) => {
      try {
        this.agents.set(agent, await this.call('agent.get', { agent }));
      } catch (error) {
        if (error.kind !== 'not_found') throw error;
        this.agents.delete(agent);
      }
    }));
  }

  /** Numbers that are close to each other are one request. */
  async refresh(numbers, method, field, id, map) {
    const sorted = [...numbers].sort((a, b) => a - b);
    const runs = [];
    for (const number of sorted) {
      const last = runs.at(-1);
      if (last && number - last[1] <= 8 && number - last[0] < PAGE) last[1] = number;
      else runs.push([number, number]);
    }
    await Promise.all(runs.map(async ([from, to]) => {
      const page = await this.call(method, { after: from - 1, count_max: to - from + 1 });
      for (let number = from; number <= to; number += 1) if (numbers.has(number)) map.delete(number);
      for (const item of page[field]) map.set(item[id], item);
      this.heard(page.now_ms);
      if (page.finished) this.finished = page.finished;
    }));
  }

  /** Reads the coordinator's metrics, which the box's charts are made of. */
  async sample() {
    if (this.link !== 'live' || document.hidden) return;
    try {
      await this.readStatus();
      const answer = await fetch('/page/metrics', { cache: 'no-store' });
      if (answer.ok) {
        this.samples.push({ at: Date.now(), values: parseMetrics(await answer.text()), latency: this.wire.latency });
        if (this.samples.length > SAMPLES_MAX) this.samples.shift();
        // Only the newest sample is shown whole.
        const old = this.samples.at(-2);
        if (old) for (const name of old.values.keys()) if (!CHARTED.test(name)) old.values.delete(name);
      }
      this.changed();
    } catch { /* The next one comes in 15 s; a lost connection is told by the wire. */ }
  }
}

const CHARTED = /^coord_(requests_total|request_seconds_(bucket|count)|connections$|events_sent_total|journal_(sync_seconds|written_bytes))/;

export function parseMetrics(text) {
  const values = new Map();
  for (const line of text.split('\n')) {
    if (!line || line[0] === '#') continue;
    const end = line.lastIndexOf(' ');
    values.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return values;
}
